// Bytes with shared ownership: written once by their maker, then read by
// everyone. One payload is sent to many peers without a copy, and memory goes
// back to a pool, so that a step allocates nothing.
#ifndef TERSE_COMMON_BASE_BUFFER_H_
#define TERSE_COMMON_BASE_BUFFER_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace terse {

class Buffer {
 public:
  // Empty.
  Buffer() = default;

  // `bytes` uninitialised bytes, aligned to 64, from the pool. Thread-safe.
  static Buffer Allocate(size_t bytes);

  // A copy of `source`.
  static Buffer CopyOf(std::span<const std::byte> source);
  static Buffer CopyOf(std::string_view source);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(data_.get()), size_};
  }

  // For the maker, before the buffer is shared.
  std::span<std::byte> mutable_bytes() { return {data_.get(), size_}; }

  // Shortens to the first `bytes`. Requires: bytes <= size().
  void Truncate(size_t bytes);

 private:
  std::shared_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_BASE_BUFFER_H_
