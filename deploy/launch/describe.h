// A plan's parts in words and numbers, shared by the texts and the JSON.
#ifndef TERSE_DEPLOY_LAUNCH_DESCRIBE_H_
#define TERSE_DEPLOY_LAUNCH_DESCRIBE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/plan/plan.h"

namespace terse {

// "64x32x3x3".
std::string ShapeName(const Shape& shape);

// As the job file writes them; "fp32" where there is no quantizer.
std::string QuantizerName(const TensorPlan& tensor);
// What comes down: "codes" of a quantizer, "weights" as fp32, or the "sum" of
// the gradients.
std::string DownName(const TensorPlan& tensor);
// Error feedback is a "+ef" behind the codec's name.
std::string CodecName(const TensorPlan& tensor);

double BitsPerElement(uint64_t bytes, uint64_t elements);

// Of all layers, for one sample.
uint64_t MultiplyAdds(const Plan& plan);

// The shards that hold blocks of the tensor, rising.
std::vector<uint32_t> ShardsOf(const Plan& plan, uint32_t tensor);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_DESCRIBE_H_
