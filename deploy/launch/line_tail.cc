#include "deploy/launch/line_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace terse {

LineTail::~LineTail() {
  if (file_ >= 0) close(file_);
}

void LineTail::Poll(const std::function<void(std::string_view)>& handle) {
  if (file_ < 0) file_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) return;
  std::array<char, 65536> buffer;
  ssize_t count;
  while ((count = read(file_, buffer.data(), buffer.size())) > 0) {
    std::string_view bytes(buffer.data(), count);
    for (size_t end; (end = bytes.find('\n')) != std::string_view::npos;
         bytes.remove_prefix(end + 1)) {
      open_line_ += bytes.substr(0, end);
      handle(open_line_);
      open_line_.clear();
    }
    open_line_ += bytes;
  }
}

}  // namespace terse
