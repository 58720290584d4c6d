// What lies in the folders beside this file:
//   inputs/KIND_COUNT.f32          floats to encode
//   good/CASE__KIND_COUNT.payload  their encoding; .f32: what it decodes to
//   bad/CASE__WHY__nCOUNT.CODE.payload  a payload of COUNT elements that
//                                  Validate must refuse with CODE
// CASE is a name in tests/conformance/codec/codec_cases.h.
#ifndef TERSE_TESTS_GOLDEN_CODEC_GOLDEN_CASES_H_
#define TERSE_TESTS_GOLDEN_CODEC_GOLDEN_CASES_H_

#include <string>

#include "common/codec/codec.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {

inline constexpr EncodeArgs kGoldenArgs = {.key = 0x7e25e, .first_index = 1000};

struct GoldenInput {
  const char* kind;
  size_t count;

  std::string Name() const {
    return std::string(kind) + "_" + std::to_string(count);
  }
};

inline constexpr GoldenInput kGoldenInputs[] = {
    {"gaussian", 700}, {"specials", 29}, {"laplace", 1}, {"zeros", 6}};

}  // namespace terse

#endif  // TERSE_TESTS_GOLDEN_CODEC_GOLDEN_CASES_H_
