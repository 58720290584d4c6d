#include "common/kernels/terms.h"

#include <bit>
#include <cstdlib>

namespace terse {
namespace {

uint32_t TermsOf(int q) {
  return static_cast<uint32_t>(
      std::popcount(static_cast<unsigned>(std::abs(q))));
}

}  // namespace

void KeepTerms(uint32_t terms, std::span<int> group) {
  uint32_t present = 0;
  for (int q : group) present += TermsOf(q);
  // From the smallest term of the last number: what is dropped is less.
  for (int term = 1; present > terms; term *= 2) {
    uint32_t here = 0;
    for (int q : group) here += (std::abs(q) & term) != 0;
    if (present - here >= terms) {
      for (int& q : group) {
        const int part = std::abs(q) & term;
        q -= q < 0 ? -part : part;
      }
      present -= here;
      continue;
    }
    for (size_t k = group.size(); k-- > 0 && present > terms;) {
      if ((std::abs(group[k]) & term) == 0) continue;
      group[k] -= group[k] < 0 ? -term : term;
      --present;
    }
  }
}

}  // namespace terse
