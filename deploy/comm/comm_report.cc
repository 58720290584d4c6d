#include "deploy/comm/comm_report.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

// Of sorted values.
double Quantile(const std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const double at = share * static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(at + 0.5)];
}

// How often a worker's link carries what a tensor has, both ways together; of
// an all-reduce what crosses the wire, as in nccl-tests.
double WaysOf(CommPattern pattern, uint32_t workers) {
  if (pattern == CommPattern::kPushPull) return 2;
  if (pattern == CommPattern::kAllReduce) return 2.0 * (workers - 1) / workers;
  return 1;
}

}  // namespace

CommRow MakeCommRow(const CommCase& test, const std::string& codec,
                    uint32_t workers, const CommTimes& times) {
  CommRow row;
  row.codec = codec;
  row.elements = test.elements * test.tensors;
  row.bytes = row.elements * sizeof(float);
  std::vector<double> sorted = times.total_us;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  row.mean_us = std::accumulate(sorted.begin(), sorted.end(), 0.0) / count;
  row.p50_us = Quantile(sorted, 0.5);
  row.p95_us = Quantile(sorted, 0.95);
  row.p99_us = Quantile(sorted, 0.99);
  row.encode_us = times.encode_us;
  row.decode_us = times.decode_us;
  row.server_us = times.server_us;
  row.wrong = times.wrong;
  // Iterations that overlap end at uneven times.
  row.alg_gbytes = static_cast<double>(row.bytes) * 1e-3 /
                   (test.continuous ? row.mean_us : row.p50_us);
  row.bus_gbytes = WaysOf(test.pattern, workers) * row.alg_gbytes;
  row.wire_gbit = static_cast<double>(times.bytes_sent + times.bytes_received) *
                  8e-3 / (row.mean_us * count);
  const double elements = static_cast<double>(row.elements) * count;
  row.bits_up = 8 * static_cast<double>(times.bytes_sent) / elements;
  row.bits_down = 8 * static_cast<double>(times.bytes_received) / elements;
  return row;
}

std::string CommTable(const CommContext& context,
                      const std::vector<CommRow>& rows) {
  std::string text = absl::StrFormat(
      "# terse bench comm %s: %s over %s, %d servers, %d workers%s\n",
      context.version, context.pattern, context.transport, context.servers,
      context.workers,
      context.emulated_gbit > 0
          ? absl::StrFormat(", emulated %g Gbit/s", context.emulated_gbit)
          : std::string());
  absl::StrAppendFormat(
      &text,
      "#%10s %10s  %-20s %9s %9s %9s %7s %7s %7s %6s %6s %8s %8s %8s %s\n",
      "size(B)", "count", "codec", "p50(us)", "p95(us)", "p99(us)", "algbw",
      "busbw", "wire", "bits", "bits", "encode", "server", "decode", "#wrong");
  absl::StrAppendFormat(
      &text, "#%10s %10s  %-20s %9s %9s %9s %7s %7s %7s %6s %6s %8s %8s %8s\n",
      "", "", "", "", "", "", "(GB/s)", "(GB/s)", "(Gb/s)", "up", "down",
      "(us)", "(us)", "(us)");
  uint64_t wrong = 0;
  for (const CommRow& row : rows) {
    absl::StrAppendFormat(
        &text,
        " %10d %10d  %-20s %9.0f %9.0f %9.0f %7.3f %7.3f %7.2f %6.2f %6.2f "
        "%8.0f %8.0f %8.0f %6d\n",
        row.bytes, row.elements, row.codec, row.p50_us, row.p95_us, row.p99_us,
        row.alg_gbytes, row.bus_gbytes, row.wire_gbit, row.bits_up,
        row.bits_down, row.encode_us, row.server_us, row.decode_us, row.wrong);
    wrong += row.wrong;
  }
  absl::StrAppendFormat(&text, "# Out of bounds values : %d %s\n", wrong,
                        wrong == 0 ? "OK" : "FAILED");
  return text;
}

std::string CommJson(const CommContext& context,
                     const std::vector<CommRow>& rows) {
  nlohmann::json results = nlohmann::json::array();
  uint64_t wrong = 0;
  for (const CommRow& row : rows) {
    wrong += row.wrong;
    results.push_back({{"size", row.bytes},
                       {"count", row.elements},
                       {"type", "float"},
                       {"codec", row.codec},
                       {"time_us",
                        {{"avg", row.mean_us},
                         {"p50", row.p50_us},
                         {"p95", row.p95_us},
                         {"p99", row.p99_us}}},
                       {"split_us",
                        {{"encode", row.encode_us},
                         {"server", row.server_us},
                         {"decode", row.decode_us}}},
                       {"alg_bw", row.alg_gbytes},
                       {"bus_bw", row.bus_gbytes},
                       {"wire_gbit", row.wire_gbit},
                       {"bits_per_element_up", row.bits_up},
                       {"bits_per_element_down", row.bits_down},
                       {"nwrong", row.wrong}});
  }
  return nlohmann::json{
             {"schema_version", 1},
             {"version", context.version},
             {"args", context.arguments},
             {"config",
              {{"transport", context.transport},
               {"pattern", context.pattern},
               {"servers", context.servers},
               {"workers", context.workers},
               {"emulate_gbit", context.emulated_gbit}}},
             {"results", results},
             {"out_of_bounds", {{"count", wrong}, {"okay", wrong == 0}}}}
             .dump(2) +
         "\n";
}

}  // namespace terse
