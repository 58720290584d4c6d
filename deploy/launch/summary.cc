#include "deploy/launch/summary.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "deploy/launch/format.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

using nlohmann::json;

double Number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : "?";
}

// "19.8 times less than fp32", and the truth when it is not less.
std::string BesideFp32(double bytes, double fp32_bytes) {
  if (bytes <= 0 || fp32_bytes <= 0) return "";
  const double factor = fp32_bytes / bytes;
  const std::string fp32 =
      absl::StrCat("; fp32: 32 bits, ", FormatBytes(fp32_bytes));
  if (factor >= 1.05) {
    return absl::StrCat(fp32, ", ", FormatNumber(factor), " times as much");
  }
  return fp32;
}

std::string Direction(const json& report, const char* name,
                      const char* bytes_key, const char* bits_key) {
  const double fp32_bytes = 4 * Number(report, "parameters") *
                            Number(report, "steps") * Number(report, "workers");
  const double bytes = Number(report, bytes_key);
  return absl::StrFormat("  %-8s %.2f bits per element, %s%s\n", name,
                         Number(report, bits_key), FormatBytes(bytes),
                         BesideFp32(bytes, fp32_bytes));
}

// "compute 71 %, wait 20 %, ...": shares of a step, largest first.
std::string TimeShares(const json& report) {
  const auto time = report.find("time_ms");
  if (time == report.end() || !time->is_object()) return "";
  const double total = Number(*time, "total");
  if (total <= 0) return "";
  std::vector<std::pair<double, std::string>> shares;
  double named = 0;
  for (const auto& [name, value] : time->items()) {
    if (name == "total" || !value.is_number()) continue;
    shares.emplace_back(value.get<double>() / total, name);
    named += shares.back().first;
  }
  std::stable_sort(shares.begin(), shares.end(), std::greater<>());
  shares.emplace_back(1 - named, "other");
  std::erase_if(shares, [](const auto& share) { return share.first < 0.001; });
  return absl::StrJoin(shares, ", ", [](std::string* out, const auto& share) {
    absl::StrAppend(out, share.second, " ",
                    absl::StrFormat("%.1f %%", 100 * share.first));
  });
}

}  // namespace

absl::StatusOr<std::string> SummaryText(std::string_view report_text,
                                        const std::string& directory) {
  const json report = json::parse(report_text.begin(), report_text.end(),
                                  nullptr, /*allow_exceptions=*/false);
  if (!report.is_object()) return absl::DataLossError("not a JSON object");
  const double seconds = Number(report, "seconds");
  const double steps = Number(report, "steps");
  const std::string bits_per_character =
      report.contains("test_bits_per_character")
          ? absl::StrFormat(", %.3f bits per character",
                            Number(report, "test_bits_per_character"))
          : "";
  std::string text = absl::StrFormat(
      "%s: test accuracy %s%s after %s in %.1f s\n", Text(report, "job"),
      FormatPercent(Number(report, "test_accuracy")), bits_per_character,
      FormatCount(steps, "step"), seconds);
  absl::StrAppend(&text, "  roles    ",
                  FormatCount(Number(report, "servers"), "server"), ", ",
                  FormatCount(Number(report, "workers"), "worker"), ", ",
                  Text(report, "transport"), "\n");
  absl::StrAppend(&text, "  step     ",
                  FormatNumber(Number(report, "step_ms_p50")), " ms (median)");
  if (seconds > 0) {
    absl::StrAppend(&text, ", ", FormatNumber(steps / seconds),
                    " steps/s over all");
  }
  text += "\n";
  text += Direction(report, "up", "wire_bytes_up", "bits_per_element_up");
  text += Direction(report, "down", "wire_bytes_down", "bits_per_element_down");
  if (const std::string shares = TimeShares(report); !shares.empty()) {
    absl::StrAppend(&text, "  time     ", shares, "\n");
  }
  absl::StrAppend(&text, "  weights  sha256 ", Text(report, "weights_sha256"),
                  "\n");
  absl::StrAppend(&text, "  files    ", directory,
                  "/ (report.json, metrics.jsonl, job.yaml, logs/)\n");
  return text;
}

}  // namespace terse
