// Every limit of the system, with its arithmetic. A peer, a file or a flag that
// asks for more is refused with an error that names the limit.
#ifndef TERSE_COMMON_BASE_LIMITS_H_
#define TERSE_COMMON_BASE_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace terse {

// Elements of a block, the unit of codec, round, update and frame. 2^18 floats
// are 1 MiB: a block and its sum stay in a level-2 cache, and the 28 bytes of
// frame header and scale cost 0.00085 bits per element. Part of the format:
// weights_sha256 and per-block scales depend on it.
inline constexpr size_t kBlockElementsMax = size_t{1} << 18;

// Elements of a tensor whose largest are sought all together: positions are of
// 31 bits, and the copies of such a tensor beside a residual take 16 GiB.
inline constexpr size_t kScanElementsMax = (size_t{1} << 31) - 1;

// Payload of one frame: a 500 MB tensor in one piece passes, a corrupt length
// does not take the machine's memory.
inline constexpr size_t kFramePayloadBytesMax = size_t{1} << 30;

// Payload of a frame before its sender has been admitted (join messages only).
inline constexpr size_t kUnadmittedPayloadBytesMax = size_t{1} << 16;

// Payload of a block's frame: fp32 elements and 64 bytes of codec header.
inline constexpr size_t kBlockPayloadBytesMax = kBlockElementsMax * 4 + 64;

// Elements of a tensor that PowerSGD sends as factors. It is one block, and its
// 2^26 floats are a frame of 256 MiB where its weights come down.
inline constexpr size_t kLowRankElementsMax = size_t{1} << 26;

// Bytes a link queues for one peer: twelve steps of a 20-million-parameter fp32
// job (80 MB each) before Send reports ResourceExhausted.
inline constexpr size_t kOutboxBytesMax = size_t{1} << 30;

// Bytes of a shard's state under way to its mirror: a quarter of what a link
// queues, and more than any block has, so that one always goes.
inline constexpr size_t kMirrorBytesUnderWayMax = kOutboxBytesMax / 4;

inline constexpr uint32_t kWorkersMax = 4096;
inline constexpr uint32_t kServersMax = 1024;

// 2^32 blocks would be 10^15 parameters; a plan is checked against these.
inline constexpr uint32_t kTensorsMax = 1u << 20;
inline constexpr uint32_t kBlocksMax = 1u << 24;

// A job file is read whole into memory.
inline constexpr size_t kJobFileBytesMax = size_t{1} << 20;

}  // namespace terse

#endif  // TERSE_COMMON_BASE_LIMITS_H_
