#include "deploy/launch/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace terse {

std::string FormatBytes(double bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B",  "kB", "MB",
                                                 "GB", "TB", "PB"};
  // 999.5 would be shown as 1000.
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  if (unit == 0) return absl::StrFormat("%.0f B", bytes);
  return absl::StrCat(FormatNumber(bytes), " ", kUnits[unit]);
}

std::string FormatClock(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const int64_t whole = std::llround(seconds);
  const int64_t hours = whole / 3600;
  const int64_t minutes = whole / 60 % 60;
  if (hours == 0) return absl::StrFormat("%d:%02d", minutes, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", hours, minutes, whole % 60);
}

std::string FormatNumber(double value) {
  const double size = std::fabs(value);
  if (size == 0) return "0";
  if (!std::isfinite(value)) return absl::StrFormat("%g", value);
  if (size < 1e-4 || size >= 1e9) return absl::StrFormat("%.2e", value);
  // The slack is half a unit of the third digit: 9.996 rounds to 10.0.
  const int before_point = int(std::floor(std::log10(size * 1.0005))) + 1;
  return absl::StrFormat("%.*f", std::max(0, 3 - before_point), value);
}

std::string FormatCount(double count, const std::string& noun) {
  return absl::StrFormat("%.0f %s%s", count, noun, count == 1 ? "" : "s");
}

std::string FormatPercent(double share) {
  return absl::StrFormat("%.2f %%", 100 * share);
}

}  // namespace terse
