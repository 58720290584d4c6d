#include "common/config/job.h"
#include "common/cost/traffic.h"
#include "deploy/launch/describe.h"
#include "deploy/launch/inspect.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

// Keys in the order they are written, as people read JSON too.
using Json = nlohmann::ordered_json;

// A job's name is any text; what is no UTF-8 must not throw.
std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json TensorJson(const Plan& plan, uint32_t t) {
  const TensorSpec& spec = plan.model.tensors[t];
  const uint64_t count = ElementCount(spec.shape);
  Json json = {{"name", spec.name},
               {"shape", spec.shape},
               {"count", count},
               {"bytes", sizeof(float) * count},
               {"buffer", plan.IsBuffer(t)}};
  if (plan.IsBuffer(t)) return json;
  const Traffic traffic = TensorTraffic(plan, t);
  json["share"] =
      static_cast<double>(count) / static_cast<double>(plan.ParameterCount());
  json["quantizer"] = QuantizerName(plan.tensors[t]);
  json["down"] = DownName(plan.tensors[t]);
  json["codec"] = plan.tensors[t].low_rank.any()
                      ? CodecName(plan.tensors[t])
                      : plan.tensors[t].codec->Describe();
  json["error_feedback"] = plan.tensors[t].error_feedback;
  json["bits_per_element_up"] = BitsPerElement(traffic.bytes_up(), count);
  json["bits_per_element_down"] = BitsPerElement(traffic.bytes_down(), count);
  return json;
}

}  // namespace

std::string InspectJson(const Job& job, const Plan& plan) {
  Json json = {{"job", job.name()},
               {"parameters", plan.ParameterCount()},
               {"parameter_bytes", sizeof(float) * plan.ParameterCount()},
               {"multiply_adds", MultiplyAdds(plan)},
               {"tensors", Json::array()},
               {"layers", Json::array()}};
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    json["tensors"].push_back(TensorJson(plan, t));
  }
  for (const LayerSpec& layer : plan.model.layers) {
    json["layers"].push_back({{"name", layer.name},
                              {"input", layer.input},
                              {"output", layer.output},
                              {"output_size", ElementCount(layer.output)},
                              {"multiply_adds", layer.multiply_adds}});
  }
  return Dump(json);
}

std::string PlanJson(const Job& job, const Plan& plan) {
  const Traffic traffic = PlanTraffic(plan);
  const uint64_t reports = ServerCount(job) * StepReportBytes(job);
  const uint64_t statistics = StatisticsBytes(job, plan);
  const uint64_t up = traffic.bytes_up() + reports + statistics;
  const uint64_t parameters = plan.ParameterCount();
  Json json = {{"job", job.name()},
               {"servers", ServerCount(job)},
               {"workers", job.cluster().workers()},
               {"parameters", parameters},
               {"blocks", plan.blocks.size()},
               {"step_bytes_up", up},
               {"step_bytes_down", traffic.bytes_down()},
               {"step_report_bytes", reports},
               {"statistics_bytes", statistics},
               {"bits_per_element_up", BitsPerElement(up, parameters)},
               {"bits_per_element_down",
                BitsPerElement(traffic.bytes_down(), parameters)},
               {"tensors", Json::array()},
               {"server_memory", Json::array()}};
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const Traffic tensor_traffic = TensorTraffic(plan, t);
    Json tensor = TensorJson(plan, t);
    tensor["shards"] = ShardsOf(plan, t);
    tensor["blocks"] = plan.tensors[t].block_count;
    tensor["step_bytes_up"] = tensor_traffic.bytes_up();
    tensor["step_bytes_down"] = tensor_traffic.bytes_down();
    json["tensors"].push_back(std::move(tensor));
  }
  for (uint32_t shard = 0; shard < ServerCount(job); ++shard) {
    const ServerMemory memory = MemoryOfServer(job, plan, shard);
    json["server_memory"].push_back({{"weights", memory.weights},
                                     {"optimizer", memory.optimizer},
                                     {"working", memory.working},
                                     {"total", memory.total()}});
  }
  const WorkerMemory worker = MemoryOfWorker(job, plan);
  json["worker_memory"] = {
      {"weights", worker.weights},     {"optimizer", worker.optimizer},
      {"gradients", worker.gradients}, {"activations", worker.activations},
      {"working", worker.working},     {"total", worker.total()}};
  return Dump(json);
}

}  // namespace terse
