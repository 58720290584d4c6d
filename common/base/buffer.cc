#include "common/base/buffer.h"

#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#include "common/base/status.h"

namespace terse {
namespace {

constexpr std::align_val_t kAlignment{64};

// Sizes are rounded up to a power of two from 256 B; freed memory up to 2 MiB a
// piece is kept, at most kPooledBytesMax in all, the rest goes to the system.
constexpr int kClassBitsMin = 8;
constexpr int kClassBitsMax = 21;
constexpr size_t kPooledBytesMax = size_t{64} << 20;

class Pool {
 public:
  static Pool& Get() {
    // Never destroyed: buffers may outlive main's statics.
    static Pool* pool = new Pool;
    return *pool;
  }

  std::byte* Take(int class_bits) {
    {
      std::lock_guard lock(mutex_);
      auto& free = free_[class_bits - kClassBitsMin];
      if (!free.empty()) {
        std::byte* memory = free.back();
        free.pop_back();
        pooled_bytes_ -= size_t{1} << class_bits;
        return memory;
      }
    }
    return static_cast<std::byte*>(
        ::operator new (size_t{1} << class_bits, kAlignment));
  }

  void Give(std::byte* memory, int class_bits) {
    const size_t bytes = size_t{1} << class_bits;
    {
      std::lock_guard lock(mutex_);
      if (pooled_bytes_ + bytes <= kPooledBytesMax) {
        free_[class_bits - kClassBitsMin].push_back(memory);
        pooled_bytes_ += bytes;
        return;
      }
    }
    ::operator delete(memory, kAlignment);
  }

 private:
  std::mutex mutex_;
  std::array<std::vector<std::byte*>, kClassBitsMax - kClassBitsMin + 1> free_;
  size_t pooled_bytes_ = 0;
};

}  // namespace

Buffer Buffer::Allocate(size_t bytes) {
  Buffer buffer;
  buffer.size_ = bytes;
  if (bytes == 0) return buffer;
  const int class_bits =
      std::max(kClassBitsMin, static_cast<int>(std::bit_width(bytes - 1)));
  if (class_bits > kClassBitsMax) {
    buffer.data_ = std::shared_ptr<std::byte[]>(
        static_cast<std::byte*>(::operator new(bytes, kAlignment)),
        [](std::byte* memory) { ::operator delete(memory, kAlignment); });
  } else {
    buffer.data_ = std::shared_ptr<std::byte[]>(
        Pool::Get().Take(class_bits), [class_bits](std::byte* memory) {
          Pool::Get().Give(memory, class_bits);
        });
  }
  return buffer;
}

Buffer Buffer::CopyOf(std::span<const std::byte> source) {
  Buffer buffer = Allocate(source.size());
  if (!source.empty()) {
    std::memcpy(buffer.data_.get(), source.data(), source.size());
  }
  return buffer;
}

Buffer Buffer::CopyOf(std::string_view source) {
  return CopyOf(std::as_bytes(std::span(source.data(), source.size())));
}

void Buffer::Truncate(size_t bytes) {
  TERSE_CHECK(bytes <= size_);
  size_ = bytes;
}

}  // namespace terse
