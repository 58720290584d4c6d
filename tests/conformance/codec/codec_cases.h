// The codecs every suite runs over: one of each kind and its odd settings.
#ifndef TERSE_TESTS_CONFORMANCE_CODEC_CODEC_CASES_H_
#define TERSE_TESTS_CONFORMANCE_CODEC_CODEC_CASES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/codec/codec.h"

namespace terse {

struct CodecCase {
  std::string name;     // For tests and files.
  std::string options;  // GradientCodec in protobuf's text form.
  // Draws random bits, so that another key gives other bytes.
  bool stochastic = false;
  // Magnitude below which a block may be sent as zero.
  float flushes_below = 0;
  // Most that a value is multiplied with before it is sent.
  float amplifies = 1;
  // The size depends on the values so that nothing is typical.
  bool any_size = false;
};

const std::vector<CodecCase>& CodecCases();

// Of the rows of every case's blocks.
inline constexpr size_t kCaseRowElements = 10;

// Aborts on options that are not valid.
std::unique_ptr<Codec> MakeCodecFromText(const std::string& options);

// Bytes of `values` (the test fails if there is an error).
std::vector<std::byte> MustEncode(const Codec& codec,
                                  const std::vector<float>& values,
                                  const EncodeArgs& args = {});

// What `payload` adds to `count` zeros.
std::vector<float> Decode(const Codec& codec,
                          const std::vector<std::byte>& payload, size_t count);

// Deterministic inputs: "gaussian", "laplace", "zeros", "constant", "one_hot",
// "denormal", "mixed" (1e-30 to 1e30), "specials" (both zeros, denormals,
// extremes).
std::vector<float> CodecInput(const std::string& kind, size_t count,
                              uint64_t key = 1);

}  // namespace terse

#endif  // TERSE_TESTS_CONFORMANCE_CODEC_CODEC_CASES_H_
