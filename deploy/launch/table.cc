#include "deploy/launch/table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/status.h"

namespace terse {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kWidthMin = 8;

}  // namespace

Table::Table(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<std::string> cells) {
  TERSE_CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::AddRule() { rows_.emplace_back(); }

std::vector<size_t> Table::Widths(size_t width_max) const {
  std::vector<size_t> widths;
  size_t total = kGap * (columns_.size() - 1);
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = columns_[c].title.size();
    for (const auto& row : rows_) {
      if (!row.empty()) width = std::max(width, row[c].size());
    }
    widths.push_back(width);
    total += width;
  }
  for (; total > width_max; --total) {
    size_t* widest = nullptr;
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (!columns_[c].shrinkable || widths[c] <= kWidthMin) continue;
      if (widest == nullptr || widths[c] > *widest) widest = &widths[c];
    }
    if (widest == nullptr) break;
    --*widest;
  }
  return widths;
}

std::string Table::ToText(size_t width_max) const {
  const std::vector<size_t> widths = Widths(width_max);
  size_t total = kGap * (columns_.size() - 1);
  for (const size_t width : widths) total += width;
  std::string text;
  const auto append = [&](const auto& cell_of) {
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string cell = CutMiddle(cell_of(c), widths[c]);
      const std::string padding(widths[c] - cell.size(), ' ');
      if (c > 0) text.append(kGap, ' ');
      text += columns_[c].right ? padding + cell : cell + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  append([&](size_t c) -> std::string_view { return columns_[c].title; });
  for (const auto& row : rows_) {
    if (row.empty()) {
      text += std::string(total, '-') + '\n';
    } else {
      append([&](size_t c) -> std::string_view { return row[c]; });
    }
  }
  return text;
}

std::string CutMiddle(std::string_view text, size_t width) {
  if (text.size() <= width) return std::string(text);
  if (width <= 2) return std::string(text.substr(0, width));
  // What names share stands at their start: the end gets a third.
  const size_t tail = (width - 2) / 3;
  const size_t head = width - 2 - tail;
  std::string cut(text.substr(0, head));
  cut += "..";
  cut += text.substr(text.size() - tail);
  return cut;
}

std::string WithSeparators(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string Bar(double share, size_t width) {
  if (!(share > 0)) return "";
  const double signs = std::round(share * static_cast<double>(width));
  return std::string(std::clamp<size_t>(static_cast<size_t>(signs), 1, width),
                     '#');
}

}  // namespace terse
