// Tables of text for people.
#ifndef TERSE_DEPLOY_LAUNCH_TABLE_H_
#define TERSE_DEPLOY_LAUNCH_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace terse {

struct TableColumn {
  std::string title;
  bool right = false;       // Aligned to the right, as numbers are.
  bool shrinkable = false;  // May be cut where the table is too wide.
};

class Table {
 public:
  explicit Table(std::vector<TableColumn> columns);

  // Requires: as many cells as columns.
  void AddRow(std::vector<std::string> cells);
  // A line across, before the totals.
  void AddRule();

  // Lines of at most `width_max` bytes, as far as cutting the shrinkable
  // columns down to 8 bytes allows; no spaces at their ends.
  std::string ToText(size_t width_max = 100) const;

 private:
  std::vector<size_t> Widths(size_t width_max) const;

  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> rows_;  // Empty: a rule.
};

// `text` in `width` bytes, ".." in place of what was in the middle.
std::string CutMiddle(std::string_view text, size_t width);

// "861,354".
std::string WithSeparators(uint64_t number);

// As many of `width` signs as the share of 1, rounded; a share above 0 has one
// at least.
std::string Bar(double share, size_t width);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_TABLE_H_
