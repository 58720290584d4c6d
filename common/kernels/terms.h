// The power-of-two terms of small whole numbers.
#ifndef TERSE_COMMON_KERNELS_TERMS_H_
#define TERSE_COMMON_KERNELS_TERMS_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace terse {

// Of each `group` consecutive levels (the last may be short) keeps the `terms`
// largest powers of two in their magnitudes; of equal ones those that come
// first. {21, 6, 17, 11} with 8 terms becomes {21, 6, 16, 10}. Signs stay.
// Requires: group from 1 to 512, magnitudes below 2^15.
void KeepTerms(uint32_t terms, size_t group, std::span<int16_t> levels);

namespace reference {

void KeepTerms(uint32_t terms, size_t group, std::span<int16_t> levels);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_TERMS_H_
