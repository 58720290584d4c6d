// Counter-based randomness: every draw is a function of a key and an index, so
// a replay, another thread count or another instruction set draws the same.
// Keys come from MixKey(seed, step, worker, tensor); the index is the
// element's.
#ifndef TERSE_COMMON_BASE_RANDOM_H_
#define TERSE_COMMON_BASE_RANDOM_H_

#include <cstdint>
#include <initializer_list>

namespace terse {

// Finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits.
constexpr uint64_t Mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Folds `parts` into one key; the order matters.
constexpr uint64_t MixKey(std::initializer_list<uint64_t> parts) {
  uint64_t key = 0x9e3779b97f4a7c15u;
  for (uint64_t part : parts) key = Mix64(key + 0x9e3779b97f4a7c15u + part);
  return key;
}

// What a draw is for; the first part of every key, so that streams of different
// purposes never meet.
enum class Draw : uint64_t {
  kInit = 1,        // initial weights: (seed, tensor)
  kEncode = 2,      // gradient codecs: (seed, step, worker, tensor)
  kQuantize = 3,    // stochastic weights: (seed, version, tensor)
  kDropout = 4,     // (seed, step, worker, layer)
  kActivation = 5,  // stochastic activations: (seed, step, worker, layer)
  kShuffle = 6,     // order of the training set: (seed, epoch)
  kGenerate = 7,    // generated data: (seed, sample)
  kAugment = 8,     // (seed, step, worker)
  kSimulate = 9,    // the simulator's events
  kRound = 10,      // training rule SR: (seed, update, tensor)
  kLowRank = 20,    // first right factors of PowerSGD: (seed, block)
};

constexpr uint64_t DrawKey(Draw draw, std::initializer_list<uint64_t> parts) {
  return MixKey({static_cast<uint64_t>(draw), MixKey(parts)});
}

// 32 uniform bits for element `index`. Two rounds of a 32-bit multiply-xorshift
// mixer (constants of C. Wellons' lowbias32), the key's halves entering before
// each, so that vector code needs two 32-bit multiplies per element: the steps
// of 2^32 / golden ratio between indices, without which elements 16 or 512
// apart are correlated, cost vectors an addition. Every 2^32 elements take a
// new key.
constexpr uint32_t RandomBits(uint64_t key, uint64_t index) {
  if (index >> 32) key = MixKey({key, index >> 32});
  uint32_t x = static_cast<uint32_t>(index) * 0x9e3779b9u;
  x += static_cast<uint32_t>(key);
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x += static_cast<uint32_t>(key >> 32);
  x *= 0x846ca68bu;
  x ^= x >> 16;
  return x;
}

// 16 uniform bits for element i of a run that starts at `first_index`: elements
// whose places in the run differ in bit 5 alone share the two halves of one
// RandomBits, so that vector code mixes once for two elements.
constexpr uint32_t RandomHalf(uint64_t key, uint64_t first_index, uint64_t i) {
  constexpr uint64_t kUpper = 32;
  const uint32_t bits = RandomBits(key, first_index + (i & ~kUpper));
  return (i & kUpper) != 0 ? bits >> 16 : bits & 0xffff;
}

// Uniform in [0, 1) on a grid of 2^-24: exact in a float, never 1.
constexpr float RandomUnit(uint64_t key, uint64_t index) {
  return static_cast<float>(RandomBits(key, index) >> 8) * 0x1p-24f;
}

}  // namespace terse

#endif  // TERSE_COMMON_BASE_RANDOM_H_
