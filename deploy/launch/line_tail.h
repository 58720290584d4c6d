// Follows a file that another process appends lines to.
#ifndef TERSE_DEPLOY_LAUNCH_LINE_TAIL_H_
#define TERSE_DEPLOY_LAUNCH_LINE_TAIL_H_

#include <functional>
#include <string>
#include <string_view>

namespace terse {

class LineTail {
 public:
  explicit LineTail(std::string path) : path_(std::move(path)) {}
  ~LineTail();
  LineTail(const LineTail&) = delete;
  LineTail& operator=(const LineTail&) = delete;

  // Passes over the lines that are there now.
  void Skip() {
    Poll([](std::string_view) {});
  }

  // Calls `handle` with every line completed since the last call, without its
  // end. A file that is not there yet has no lines; the beginning of a line is
  // kept until its end is written.
  void Poll(const std::function<void(std::string_view)>& handle);

 private:
  const std::string path_;
  int file_ = -1;
  std::string open_line_;
};

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_LINE_TAIL_H_
