// Statistics of `terse bench codec`: of times, of what a codec lost, and of how
// short its symbols could be.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_STATISTICS_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_STATISTICS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "proto/job.pb.h"

namespace terse {

// Middle of the values, of two middle ones their mean; 0 for none.
double Median(std::vector<double> values);
// Standard deviation over mean; 0 for fewer than two values.
double CoefficientOfVariation(std::span<const double> values);

// Bits of a symbol drawn with these frequencies (Shannon 1948); 0 for none.
double EntropyBits(std::span<const uint64_t> counts);

// What decoding gives against what was encoded, sums in double.
struct Fidelity {
  double rel_l2 = 0;  // |decoded - value| / |value|; 0 where both are 0,
                      // 1 where one is.
  double cosine = 0;  // 1 where both are 0, 0 where one is.
  // Mean of decoded - value in units of the values' root mean square, and half
  // the width of its 95 % confidence interval.
  double bias = 0;
  double bias_ci95 = 0;
};
// Requires: spans of equal length.
Fidelity CompareDecoded(std::span<const float> values,
                        std::span<const float> decoded);

// Bits that coding the positions of the values that are not 0 takes, block by
// block, over the fewest there are for so many: log2 C(n, k). Nothing where all
// or none are 0.
std::optional<double> IndexBitsOverChoose(std::span<const float> decoded);

// Order-0 entropy of the symbols the codec quantized `values` to, bits per
// element, without scales. Symbols are the levels of codecs that have a scale
// per bucket, else the distinct decoded values of a block (-0 is 0). Where
// these are more than kSymbolsMax, or (beyond 16) more than an eighth of the
// values that are not 0, there are no levels: then it is the entropy of being
// zero, and of each byte of the other values by itself, over all blocks.
// Requires: spans of equal length, cut in blocks of kBlockElementsMax.
inline constexpr size_t kSymbolsMax = 4096;
double SymbolEntropyBits(const GradientCodec& codec,
                         std::span<const float> values,
                         std::span<const float> decoded);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_STATISTICS_H_
