#include <bit>

#include "common/kernels/select.h"

namespace terse::reference {

size_t SelectAtLeast(const float* values, size_t count, float* residual,
                     uint32_t min_abs_bits, uint32_t* indices) {
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    float x = values[i];
    if (residual != nullptr) x = residual[i] += x;
    if ((std::bit_cast<uint32_t>(x) & 0x7fffffffu) >= min_abs_bits) {
      indices[found++] = static_cast<uint32_t>(i);
    }
  }
  return found;
}

}  // namespace terse::reference
