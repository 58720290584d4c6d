// Finds what a person meant to write.
#ifndef TERSE_COMMON_CONFIG_NAMES_H_
#define TERSE_COMMON_CONFIG_NAMES_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace terse {

// Insertions, deletions, substitutions and swaps of neighbours that turn `a`
// into `b`, no letter touched twice (optimal string alignment). Only the first
// 256 bytes of each count.
size_t EditDistance(std::string_view a, std::string_view b);

// The entry of `valid` nearest to `name`, the first of equals; empty when none
// is near enough to be a slip of the hand (a third of its letters, at least 2).
std::string NearestName(std::string_view name,
                        std::span<const std::string> valid);

// "; did you mean 'x'?" or nothing.
std::string DidYouMean(std::string_view name,
                       std::span<const std::string> valid);

// `text` fit to stand in a one-line message: control characters as '?', and
// nothing after the first `bytes_max`.
std::string ForMessage(std::string_view text, size_t bytes_max = 60);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_NAMES_H_
