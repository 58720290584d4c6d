// Debian's Abseil has its own string_view, newer builds use std's; these name
// the conversion so that both compile.
#ifndef TERSE_COMMON_BASE_STRING_VIEW_H_
#define TERSE_COMMON_BASE_STRING_VIEW_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace terse {

inline absl::string_view ToAbsl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

inline std::string_view ToStd(absl::string_view text) {
  return std::string_view(text.data(), text.size());
}

}  // namespace terse

#endif  // TERSE_COMMON_BASE_STRING_VIEW_H_
