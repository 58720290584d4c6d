// Term quantization.
#ifndef TERSE_COMMON_QUANTIZE_TERM_H_
#define TERSE_COMMON_QUANTIZE_TERM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// Kung, McDanel, Zhang (SC 2020, arXiv 2007.06389): the uniform codes of
// MakeUniform, each `group` consecutive weights of a row (the last may be
// fewer) cut to `terms` power-of-two terms in all; a term is what costs a shift
// and an addition. Straight-through. Requires: 2 <= bits <= 8, group > 0,
// row_elements > 0.
std::unique_ptr<WeightQuantizer> MakeTerm(int bits, uint32_t group,
                                          uint32_t terms, size_t row_elements);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_TERM_H_
