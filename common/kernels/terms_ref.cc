#include <algorithm>
#include <bit>
#include <cstdlib>

#include "common/kernels/terms.h"

namespace terse::reference {
namespace {

void KeepTermsOfGroup(uint32_t terms, std::span<int16_t> group) {
  uint32_t present = 0;
  for (int q : group) {
    present += static_cast<uint32_t>(
        std::popcount(static_cast<unsigned>(std::abs(q))));
  }
  // From the smallest term of the last number: what is dropped is less.
  for (int term = 1; present > terms; term *= 2) {
    for (size_t k = group.size(); k-- > 0 && present > terms;) {
      if ((std::abs(group[k]) & term) == 0) continue;
      group[k] = static_cast<int16_t>(group[k] < 0 ? group[k] + term
                                                   : group[k] - term);
      --present;
    }
  }
}

}  // namespace

void KeepTerms(uint32_t terms, size_t group, std::span<int16_t> levels) {
  for (size_t start = 0; start < levels.size(); start += group) {
    KeepTermsOfGroup(
        terms, levels.subspan(start, std::min(group, levels.size() - start)));
  }
}

}  // namespace terse::reference
