#include "deploy/launch/inspect.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/config/job.h"
#include "common/cost/traffic.h"
#include "deploy/launch/describe.h"
#include "deploy/launch/format.h"
#include "deploy/launch/table.h"

namespace terse {
namespace {

constexpr size_t kBarWidth = 8;
constexpr size_t kNameWidth = 90;

std::string Percent(double share) {
  return absl::StrFormat("%.1f %%", 100 * share);
}

std::string Bits(uint64_t bytes, uint64_t elements) {
  return absl::StrFormat("%.2f", BitsPerElement(bytes, elements));
}

// Where the sum of the gradients comes down, it says so.
std::string WeightsCell(const TensorPlan& tensor) {
  return tensor.sum_down ? QuantizerName(tensor) + ", by sum"
                         : QuantizerName(tensor);
}

std::string ParameterTable(const Plan& plan) {
  Table table({{.title = "parameter", .shrinkable = true},
               {.title = "shape", .shrinkable = true},
               {.title = "count", .right = true},
               {.title = "size", .right = true},
               {.title = "share", .right = true},
               {.title = ""},
               {.title = "weights", .shrinkable = true},
               {.title = "gradient", .shrinkable = true},
               {.title = "up", .right = true},
               {.title = "down", .right = true}});
  const double total = static_cast<double>(plan.ParameterCount());
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const TensorSpec& spec = plan.model.tensors[t];
    const uint64_t count = ElementCount(spec.shape);
    std::vector<std::string> cells = {
        spec.name, ShapeName(spec.shape), WithSeparators(count),
        FormatBytes(static_cast<double>(sizeof(float) * count))};
    if (plan.IsBuffer(t)) {
      cells.insert(cells.end(), {"", "", "", "buffer", "", ""});
    } else {
      const double share = static_cast<double>(count) / total;
      const Traffic traffic = TensorTraffic(plan, t);
      cells.insert(
          cells.end(),
          {Percent(share), Bar(share, kBarWidth), WeightsCell(plan.tensors[t]),
           CodecName(plan.tensors[t]), Bits(traffic.bytes_up(), count),
           Bits(traffic.bytes_down(), count)});
    }
    table.AddRow(std::move(cells));
  }
  const uint64_t count = plan.ParameterCount();
  const Traffic traffic = PlanTraffic(plan);
  table.AddRule();
  table.AddRow({"total", "", WithSeparators(count),
                FormatBytes(static_cast<double>(sizeof(float) * count)), "", "",
                "", "", Bits(traffic.bytes_up(), count),
                Bits(traffic.bytes_down(), count)});
  return table.ToText();
}

std::string LayerTable(const Plan& plan) {
  Table table({{.title = "layer"},
               {.title = "input"},
               {.title = "output"},
               {.title = "output size", .right = true},
               {.title = "multiply-adds", .right = true},
               {.title = "share", .right = true},
               {.title = ""}});
  const uint64_t total = MultiplyAdds(plan);
  for (const LayerSpec& layer : plan.model.layers) {
    const double share = static_cast<double>(layer.multiply_adds) /
                         static_cast<double>(std::max<uint64_t>(total, 1));
    const bool counts = layer.multiply_adds > 0;
    table.AddRow({layer.name, ShapeName(layer.input), ShapeName(layer.output),
                  WithSeparators(ElementCount(layer.output)),
                  counts ? WithSeparators(layer.multiply_adds) : "",
                  counts ? Percent(share) : "", Bar(share, kBarWidth)});
  }
  table.AddRule();
  table.AddRow({"total", "", "", "", WithSeparators(total), "", ""});
  return table.ToText();
}

// The shards that hold blocks of the tensor: "0", "0,3", "0-7".
std::string ShardsText(const std::vector<uint32_t>& shards) {
  const uint32_t span = shards.back() - shards.front() + 1;
  if (shards.size() > 2 && span == shards.size()) {
    return absl::StrCat(shards.front(), "-", shards.back());
  }
  return absl::StrJoin(shards, ",");
}

std::string PlacementTable(const Job& job, const Plan& plan) {
  Table table({{.title = "parameter", .shrinkable = true},
               {.title = "count", .right = true},
               {.title = "weights", .shrinkable = true},
               {.title = "gradient", .shrinkable = true},
               {.title = "shards", .shrinkable = true},
               {.title = "blocks", .right = true},
               {.title = "bytes up", .right = true},
               {.title = "bytes down", .right = true}});
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const TensorSpec& spec = plan.model.tensors[t];
    const bool buffer = plan.IsBuffer(t);
    const Traffic traffic = TensorTraffic(plan, t);
    table.AddRow({spec.name, WithSeparators(ElementCount(spec.shape)),
                  buffer ? "buffer" : WeightsCell(plan.tensors[t]),
                  buffer ? "" : CodecName(plan.tensors[t]),
                  ShardsText(ShardsOf(plan, t)),
                  WithSeparators(plan.tensors[t].block_count),
                  buffer ? "" : WithSeparators(traffic.bytes_up()),
                  buffer ? "" : WithSeparators(traffic.bytes_down())});
  }
  const uint64_t reports = ServerCount(job) * StepReportBytes(job);
  table.AddRow(
      {"step reports", "", "", "", "", "", WithSeparators(reports), "0"});
  const uint64_t statistics = StatisticsBytes(job, plan);
  if (statistics > 0) {
    table.AddRow({"batch-norm statistics", "", "", "", "", "",
                  WithSeparators(statistics), "0"});
  }
  const Traffic traffic = PlanTraffic(plan);
  const uint64_t up = traffic.bytes_up() + reports + statistics;
  table.AddRule();
  table.AddRow({"total", WithSeparators(plan.ParameterCount()), "", "", "",
                WithSeparators(plan.blocks.size()), WithSeparators(up),
                WithSeparators(traffic.bytes_down())});
  table.AddRow({"bits per element", "", "", "", "", "",
                Bits(up, plan.ParameterCount()),
                Bits(traffic.bytes_down(), plan.ParameterCount())});
  return table.ToText();
}

std::string MemoryText(const Job& job, const Plan& plan) {
  const auto size = [](uint64_t bytes) {
    return FormatBytes(static_cast<double>(bytes));
  };
  // The largest server is the one that must fit its machine.
  ServerMemory server;
  for (uint32_t shard = 0; shard < ServerCount(job); ++shard) {
    const ServerMemory memory = MemoryOfServer(job, plan, shard);
    if (memory.total() > server.total()) server = memory;
  }
  const WorkerMemory worker = MemoryOfWorker(job, plan);
  Table table({{.title = "memory"},
               {.title = "total", .right = true},
               {.title = "weights", .right = true},
               {.title = "optimizer", .right = true},
               {.title = "gradients", .right = true},
               {.title = "activations", .right = true},
               {.title = "working", .right = true}});
  table.AddRow({"a server, at most", size(server.total()), size(server.weights),
                size(server.optimizer), "", "", size(server.working)});
  table.AddRow({"a worker, about", size(worker.total()), size(worker.weights),
                worker.optimizer == 0 ? "" : size(worker.optimizer),
                size(worker.gradients), size(worker.activations),
                size(worker.working)});
  return table.ToText() + "libraries and training data come on top\n";
}

}  // namespace

std::string InspectText(const Job& job, const Plan& plan) {
  const uint64_t parameters = plan.ParameterCount();
  return absl::StrCat(
      "Job ", CutMiddle(job.name(), kNameWidth), "\n",
      WithSeparators(parameters), " parameters (",
      WithSeparators(sizeof(float) * parameters), " bytes as fp32), ",
      WithSeparators(MultiplyAdds(plan)), " multiply-adds a sample\n\n",
      ParameterTable(plan),
      "up, down: bits per element and step of a worker, frame headers "
      "included\n\n",
      LayerTable(plan));
}

std::string PlanText(const Job& job, const Plan& plan) {
  return absl::StrCat("Job ", CutMiddle(job.name(), kNameWidth), "\n",
                      ServerCount(job),
                      ServerCount(job) == 1 ? " server, " : " servers, ",
                      job.cluster().workers(),
                      job.cluster().workers() == 1 ? " worker" : " workers",
                      "; bytes of a worker's step, as predicted\n\n",
                      PlacementTable(job, plan), "\n", MemoryText(job, plan));
}

}  // namespace terse
