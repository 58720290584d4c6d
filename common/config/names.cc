#include "common/config/names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"

namespace terse {

size_t EditDistance(std::string_view a, std::string_view b) {
  constexpr size_t kBytesMax = 256;
  a = a.substr(0, kBytesMax);
  b = b.substr(0, kBytesMax);
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1),
      current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({replace, last[j] + 1, current[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, current);
  }
  return last[b.size()];
}

std::string NearestName(std::string_view name,
                        std::span<const std::string> valid) {
  std::string nearest;
  size_t nearest_distance = 0;
  for (const std::string& candidate : valid) {
    const size_t distance = EditDistance(name, candidate);
    const size_t letters = std::max(name.size(), candidate.size());
    if (distance > std::max<size_t>(2, letters / 3)) continue;
    if (distance >= letters) continue;  // Not a letter in common.
    if (nearest.empty() || distance < nearest_distance) {
      nearest = candidate;
      nearest_distance = distance;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view name,
                       std::span<const std::string> valid) {
  const std::string nearest = NearestName(name, valid);
  if (nearest.empty()) return "";
  return absl::StrCat("; did you mean '", nearest, "'?");
}

std::string ForMessage(std::string_view text, size_t bytes_max) {
  std::string shown(text.substr(0, bytes_max));
  if (text.size() > bytes_max) {
    // A character is not to be cut in its middle.
    while (!shown.empty() && (text[shown.size()] & 0xc0) == 0x80) {
      shown.pop_back();
    }
    shown += "...";
  }
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return shown;
}

}  // namespace terse
