#include "deploy/launch/bench_report.h"

#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "deploy/launch/format.h"
#include "deploy/launch/table.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 1;

double BitsPerElement(uint64_t bytes, const BenchRow& row) {
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(row.elements);
}

std::string Bits(double bits) { return absl::StrFormat("%.4f", bits); }

std::string Elements(const BenchRow& row) {
  return WithSeparators(row.elements);
}

std::string SizeTable(std::span<const BenchRow> rows) {
  Table table({{.title = "codec", .shrinkable = true},
               {.title = "elements", .right = true},
               {.title = "bits", .right = true},
               {.title = "+headers", .right = true},
               {.title = "entropy", .right = true},
               {.title = "rel L2", .right = true},
               {.title = "cosine", .right = true},
               {.title = "bias / rms", .right = true},
               {.title = "95 % +-", .right = true},
               {.title = "#wrong", .right = true}});
  for (const BenchRow& row : rows) {
    table.AddRow(
        {row.codec, Elements(row), Bits(BitsPerElement(row.payload_bytes, row)),
         Bits(BitsPerElement(row.wire_bytes, row)), Bits(row.entropy_bits),
         absl::StrFormat("%.3g", row.fidelity.rel_l2),
         absl::StrFormat("%.5f", row.fidelity.cosine),
         absl::StrFormat("%.1e", row.fidelity.bias),
         absl::StrFormat("%.1e", row.fidelity.bias_ci95),
         WithSeparators(row.wrong)});
  }
  return table.ToText();
}

// Of sparse codecs alone; empty if there is none.
std::string PositionTable(std::span<const BenchRow> rows) {
  Table table({{.title = "codec", .shrinkable = true},
               {.title = "elements", .right = true},
               {.title = "positions", .right = true}});
  bool any = false;
  for (const BenchRow& row : rows) {
    if (!row.index_bits_over_choose) continue;
    any = true;
    table.AddRow({row.codec, Elements(row),
                  absl::StrFormat("%.4f", *row.index_bits_over_choose)});
  }
  return any ? table.ToText() : "";
}

std::string SpeedTable(std::span<const BenchRow> rows) {
  Table table({{.title = "codec", .shrinkable = true},
               {.title = "elements", .right = true},
               {.title = "encode", .right = true},
               {.title = "/memcpy", .right = true},
               {.title = "with EF", .right = true},
               {.title = "/memcpy", .right = true},
               {.title = "decode+", .right = true},
               {.title = "/axpy", .right = true},
               {.title = "integer+", .right = true},
               {.title = "/axpy", .right = true}});
  for (const BenchRow& row : rows) {
    const auto speed = [&](const std::optional<BenchTime>& time) {
      if (!time) return std::string("-");
      return absl::StrFormat("%.2f", GigabytesPerSecond(row, *time));
    };
    const auto ratio = [](const std::optional<BenchTime>& time,
                          const BenchTime& yardstick) {
      if (!time) return std::string("-");
      return absl::StrFormat("%.2f", SpeedOver(*time, yardstick));
    };
    table.AddRow({row.codec, Elements(row), speed(row.encode),
                  ratio(row.encode, row.memcpy), speed(row.encode_feedback),
                  ratio(row.encode_feedback, row.memcpy), speed(row.decode_add),
                  ratio(row.decode_add, row.axpy), speed(row.integer_add),
                  ratio(row.integer_add, row.axpy)});
  }
  return table.ToText();
}

std::string YardstickTable(std::span<const BenchRow> rows) {
  Table table({{.title = "codec", .shrinkable = true},
               {.title = "elements", .right = true},
               {.title = "memcpy", .right = true},
               {.title = "+-", .right = true},
               {.title = "axpy", .right = true},
               {.title = "+-", .right = true}});
  for (const BenchRow& row : rows) {
    const auto percent = [](const BenchTime& time) {
      return absl::StrFormat("%.0f %%", 100 * time.variation);
    };
    table.AddRow({row.codec, Elements(row),
                  absl::StrFormat("%.2f", GigabytesPerSecond(row, row.memcpy)),
                  percent(row.memcpy),
                  absl::StrFormat("%.2f", GigabytesPerSecond(row, row.axpy)),
                  percent(row.axpy)});
  }
  return table.ToText();
}

std::string ResidualTable(std::span<const BenchRow> rows) {
  std::vector<TableColumn> columns = {{.title = "codec", .shrinkable = true}};
  for (const int round : kResidualRounds) {
    columns.push_back({.title = absl::StrCat("round ", round), .right = true});
  }
  Table table(columns);
  for (const BenchRow& row : rows) {
    std::vector<std::string> cells = {row.codec};
    for (const double ratio : *row.residual_ratios) {
      cells.push_back(absl::StrFormat("%.4g", ratio));
    }
    table.AddRow(std::move(cells));
  }
  return table.ToText();
}

Json TimeJson(const BenchRow& row, const std::optional<BenchTime>& time) {
  if (!time) return nullptr;
  return {{"median_ms", time->median_ns / 1e6},
          {"variation", time->variation},
          {"gb_per_second", GigabytesPerSecond(row, *time)}};
}

Json RatioJson(const std::optional<BenchTime>& time,
               const BenchTime& yardstick) {
  if (!time) return nullptr;
  return SpeedOver(*time, yardstick);
}

Json RowJson(const BenchContext& context, const BenchRow& row) {
  Json json = {
      {"schema_version", kSchemaVersion},
      {"codec", row.codec},
      {"describe", row.describe},
      {"input", context.input},
      {"seed", context.settings.seed},
      {"elements", row.elements},
      {"threads", context.threads},
      {"target", row.target},
      {"iterations", context.settings.iterations},
      {"warmup_iterations", context.settings.warmup_iterations},
      {"payload_bytes", row.payload_bytes},
      {"wire_bytes", row.wire_bytes},
      {"payload_bits_per_element", BitsPerElement(row.payload_bytes, row)},
      {"bits_per_element", BitsPerElement(row.wire_bytes, row)},
      {"entropy_bits_per_element", row.entropy_bits},
      {"index_bits_over_choose", row.index_bits_over_choose
                                     ? Json(*row.index_bits_over_choose)
                                     : Json(nullptr)},
      {"encode_over_memcpy", RatioJson(row.encode, row.memcpy)},
      {"encode_feedback_over_memcpy",
       RatioJson(row.encode_feedback, row.memcpy)},
      {"decode_add_over_axpy", RatioJson(row.decode_add, row.axpy)},
      {"decode_add_over_memcpy", RatioJson(row.decode_add, row.memcpy)},
      {"integer_add_over_axpy", RatioJson(row.integer_add, row.axpy)},
      {"memcpy", TimeJson(row, row.memcpy)},
      {"axpy", TimeJson(row, row.axpy)},
      {"encode", TimeJson(row, row.encode)},
      {"encode_feedback", TimeJson(row, row.encode_feedback)},
      {"decode_add", TimeJson(row, row.decode_add)},
      {"integer_add", TimeJson(row, row.integer_add)},
      {"rel_l2", row.fidelity.rel_l2},
      {"cosine", row.fidelity.cosine},
      {"bias", row.fidelity.bias},
      {"bias_ci95", row.fidelity.bias_ci95},
      {"residual_norm_ratio", nullptr},
      {"wrong", row.wrong},
      {"version", context.version},
      {"compiler", context.compiler},
      {"cpu", context.cpu}};
  if (row.residual_ratios) {
    Json& ratios = json["residual_norm_ratio"];
    for (size_t i = 0; i < kResidualRounds.size(); ++i) {
      ratios[absl::StrCat(kResidualRounds[i])] = (*row.residual_ratios)[i];
    }
  }
  return json;
}

}  // namespace

std::string CompilerName() {
#if defined(__clang__)
  return absl::StrCat("clang ", __clang_major__, ".", __clang_minor__, ".",
                      __clang_patchlevel__);
#else
  return absl::StrCat("gcc ", __GNUC__, ".", __GNUC_MINOR__, ".",
                      __GNUC_PATCHLEVEL__);
#endif
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t value = line.find(": ");
    if (value != std::string::npos) return line.substr(value + 2);
  }
  return "unknown";
}

double GigabytesPerSecond(const BenchRow& row, const BenchTime& time) {
  const double bytes = static_cast<double>(row.elements) * sizeof(float);
  return time.median_ns > 0 ? bytes / time.median_ns : 0;
}

double SpeedOver(const BenchTime& time, const BenchTime& yardstick) {
  return time.median_ns > 0 ? yardstick.median_ns / time.median_ns : 0;
}

std::string BenchText(const BenchContext& context,
                      std::span<const BenchRow> rows) {
  if (rows.empty()) return "";
  std::string text = absl::StrFormat(
      "terse %s, %s, %s, kernels %s, %u thread%s, input %s, seed %u, "
      "medians of %u\n\n",
      context.version, context.cpu, context.compiler, rows.front().target,
      context.threads, context.threads == 1 ? "" : "s", context.input,
      context.settings.seed, context.settings.iterations);
  absl::StrAppend(
      &text,
      "Bits per element of the payload, with frame headers, and the "
      "order-0 entropy of its symbols;\nwhat decoding loses\n\n",
      SizeTable(rows));
  if (const std::string positions = PositionTable(rows); !positions.empty()) {
    absl::StrAppend(&text,
                    "\nBits of positions over log2 C(n, k), the fewest for k "
                    "of n\n\n",
                    positions);
  }
  absl::StrAppend(
      &text,
      "\nSpeed in GB/s of fp32, and over that of memcpy or y += x (axpy) of "
      "the same bytes in this run;\nEF: error feedback; integer+: levels of a "
      "shared scale into the integer sums of a block, one\nof 4 workers' "
      "after the other\n\n",
      SpeedTable(rows));
  absl::StrAppend(&text,
                  "\nThe yardsticks beside each, GB/s, with their variation "
                  "from one iteration to another\n\n",
                  YardstickTable(rows));
  if (context.settings.error_feedback) {
    absl::StrAppend(&text,
                    "\nError feedback: norm of the residual over that of a "
                    "gradient\n\n",
                    ResidualTable(rows));
  }
  return text;
}

std::string BenchJson(const BenchContext& context,
                      std::span<const BenchRow> rows) {
  Json json = Json::array();
  for (const BenchRow& row : rows) json.push_back(RowJson(context, row));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace terse
