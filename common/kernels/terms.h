// The power-of-two terms of small whole numbers.
#ifndef TERSE_COMMON_KERNELS_TERMS_H_
#define TERSE_COMMON_KERNELS_TERMS_H_

#include <cstdint>
#include <span>

namespace terse {

// Keeps the `terms` largest powers of two in the magnitudes of a group; of
// equal ones those that come first. {21, 6, 17, 11} with 8 terms becomes
// {21, 6, 16, 10}. Signs stay. Requires: magnitudes below 2^30.
void KeepTerms(uint32_t terms, std::span<int> group);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_TERMS_H_
