// Any bytes, cut anywhere: the frames that come out serialise to the bytes that
// went in, and where the cuts are changes nothing.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/frame/frame.h"

namespace terse {
namespace {

constexpr size_t kPayloadBytesMax = 4096;

struct Parsed {
  std::string frames;  // Serialised again.
  absl::Status status;
};

void AppendSerialized(const Frame& frame, std::string& target) {
  const FrameHeader header = SerializeHeader(frame);
  target.append(reinterpret_cast<const char*>(header.data()), header.size());
  target.append(frame.payload.text());
}

// Cuts `bytes` at places drawn from `key`; key 0 does not cut.
Parsed Parse(std::string_view bytes, uint64_t key) {
  Parsed parsed;
  FrameAssembler assembler(kPayloadBytesMax);
  for (size_t at = 0, piece = 0; at < bytes.size(); ++piece) {
    const size_t length = key == 0 ? bytes.size() : RandomBits(key, piece) % 70;
    const auto chunk = bytes.substr(at, length);
    parsed.status = assembler.Append(
        std::as_bytes(std::span(chunk.data(), chunk.size())), [&](Frame frame) {
          TERSE_CHECK(frame.payload.size() <= kPayloadBytesMax);
          AppendSerialized(frame, parsed.frames);
          return absl::OkStatus();
        });
    at += chunk.size();
    if (!parsed.status.ok()) break;
  }
  return parsed;
}

}  // namespace
}  // namespace terse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  if (size < 1) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Checksums are hard to guess: half of the inputs are the contents of a
  // frame that gets a right one, with the rest of the input behind it.
  if ((data[0] & 1) != 0) {
    const size_t payload = std::min(bytes.size(), kPayloadBytesMax) / 2;
    std::string framed;
    AppendSerialized(MakeFrame(data[0], size, data[0] * 77u,
                               Buffer::CopyOf(bytes.substr(0, payload))),
                     framed);
    bytes = framed + bytes.substr(payload);
  }
  const Parsed whole = Parse(bytes, 0);
  TERSE_CHECK(bytes.starts_with(whole.frames));
  TERSE_CHECK((data[0] & 1) == 0 || !whole.frames.empty());
  const Parsed cut = Parse(bytes, 1 + size + data[0]);
  TERSE_CHECK(cut.frames == whole.frames);
  TERSE_CHECK(cut.status == whole.status);
  return 0;
}
