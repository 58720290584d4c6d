// The head of every message between two ranks. Format: common/frame/FORMAT.md.
#ifndef TERSE_COMMON_TRANSPORT_MPI_ENVELOPE_H_
#define TERSE_COMMON_TRANSPORT_MPI_ENVELOPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace terse {

enum class EnvelopeKind : uint32_t {
  kConnect = 1,  // `target` is a port.
  kAccept = 2,   // `source` is the connection's id at the side that accepts.
  kRefuse = 3,   // Nobody listens at the port.
  kData = 4,     // The next bytes of the frame sequence.
  kEnd = 5,      // The sender has sent everything and closes.
  kEndSeen = 6,  // Answers kEnd.
  kFail = 7,     // The sender has ended the connection; the text says why.
};

struct Envelope {
  EnvelopeKind kind = EnvelopeKind::kData;
  uint64_t target = 0;  // The connection's id at the receiver.
  uint64_t source = 0;  // And at the sender.
  // Bytes of the data message that follows; 0: there is none. They come after
  // the ones that stand behind the envelope.
  uint32_t data_bytes = 0;
};

inline constexpr size_t kEnvelopeBytes = 24;

// Bytes behind an envelope, at most: frames are copied there until they are so
// many.
inline constexpr size_t kInlineBytesMax = size_t{64} << 10;

// Appended to `bytes`, a vector or string of bytes.
template <typename Bytes>
void AppendEnvelope(const Envelope& envelope, Bytes& bytes) {
  const auto append = [&bytes](uint64_t value, int count) {
    for (int i = 0; i < count; ++i) {
      bytes.push_back(static_cast<typename Bytes::value_type>(value >> 8 * i));
    }
  };
  append(static_cast<uint32_t>(envelope.kind), 4);
  append(envelope.data_bytes, 4);
  append(envelope.target, 8);
  append(envelope.source, 8);
}

// Nothing if `bytes` do not begin with an envelope of a known kind.
inline std::optional<Envelope> ParseEnvelope(std::span<const std::byte> bytes) {
  if (bytes.size() < kEnvelopeBytes) return std::nullopt;
  const auto read = [&bytes](size_t at, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) {
      value |= static_cast<uint64_t>(bytes[at + i]) << 8 * i;
    }
    return value;
  };
  const uint64_t kind = read(0, 4);
  if (kind < 1 || kind > static_cast<uint64_t>(EnvelopeKind::kFail)) {
    return std::nullopt;
  }
  return Envelope{.kind = static_cast<EnvelopeKind>(kind),
                  .target = read(8, 8),
                  .source = read(16, 8),
                  .data_bytes = static_cast<uint32_t>(read(4, 4))};
}

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_ENVELOPE_H_
