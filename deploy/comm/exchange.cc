#include "deploy/comm/exchange.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/factory.h"

namespace terse {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(5);

enum CommFrame : FrameType {
  kHello = 1,  // From worker `block`; the server answers with another.
  kPush,       // Its gradient of `block`.
  kPull,       // Asks for all blocks of the server.
  kData,       // What comes down of `block`.
  kDone,       // The server has done its part of the step; Done.
};

struct Done {
  uint64_t server_ns = 0;
  uint64_t wrong = 0;
};

// A frame's step: the case, and the iteration within it.
uint64_t StepOf(size_t index, uint32_t iteration) {
  return uint64_t{index} << 32 | iteration;
}

uint32_t LastIteration(const CommCase& test) {
  return test.warmup_iterations + test.iterations - 1;
}

// Whose input a server encodes for pulls.
constexpr uint32_t kServerInput = ~0u;

double Microseconds(absl::Duration duration) {
  return absl::ToDoubleMicroseconds(duration);
}

// What all processes of a case compute with.
class CommMath {
 public:
  static absl::StatusOr<CommMath> Make(const CommCase& test, uint32_t workers) {
    TERSE_ASSIGN_OR_RETURN(auto codec, MakeCodec(test.codec));
    return CommMath(test, workers, std::move(codec));
  }

  const std::vector<CommBlock>& blocks() const { return blocks_; }
  const Codec& codec() const { return *codec_; }

  absl::StatusOr<Buffer> Encode(uint32_t worker, uint64_t step, uint32_t block,
                                std::span<const float> values) const {
    Buffer payload = Buffer::Allocate(codec_->MaxEncodedBytes(values.size()));
    TERSE_ASSIGN_OR_RETURN(
        const size_t bytes,
        codec_->Encode(values,
                       {.key = DrawKey(Draw::kEncode, {1, step, worker, block}),
                        .first_index = blocks_[block].first_index},
                       payload.mutable_bytes()));
    payload.Truncate(bytes);
    return payload;
  }

  // What comes down of pushed gradients whose mean is `mean`.
  Buffer EncodeDown(uint32_t block, std::span<const Contribution> parts,
                    std::span<const float> mean) const {
    if (plain_) return Buffer::CopyOf(std::as_bytes(mean));
    Buffer sum = EncodeMean(Context(block), parts, mean);
    FinishSum(1, 0, sum);
    return sum;
  }

  absl::Status DecodeDown(uint32_t block, const Buffer& payload,
                          std::span<float> target) const {
    if (pull_) {
      TERSE_RETURN_IF_ERROR(codec_->Validate(payload.bytes(), target.size()));
      std::fill(target.begin(), target.end(), 0.0f);
      codec_->DecodeAdd(payload.bytes(), 1, target);
      return absl::OkStatus();
    }
    if (plain_) {
      if (payload.size() != target.size_bytes()) {
        return absl::DataLossError("a block has another length");
      }
      std::memcpy(target.data(), payload.bytes().data(), payload.size());
      return absl::OkStatus();
    }
    TERSE_RETURN_IF_ERROR(ValidateSum(Context(block), 0, payload.bytes()));
    DecodeSum(Context(block), payload.bytes(), target);
    return absl::OkStatus();
  }

  // What a block of `step` must come to.
  absl::StatusOr<std::vector<float>> Expected(uint64_t step,
                                              uint32_t block) const {
    const CommBlock& spec = blocks_[block];
    std::vector<float> values(spec.count), result(spec.count);
    std::vector<Contribution> parts;
    for (uint32_t w = 0; w < (pull_ ? 1 : workers_); ++w) {
      const uint32_t source = pull_ ? kServerInput : w;
      FillCommInput(source, spec.first_index, values);
      TERSE_ASSIGN_OR_RETURN(Buffer payload,
                             Encode(source, pull_ ? 0 : step, block, values));
      parts.push_back({std::move(payload), pull_ ? 1.0 : 1.0 / workers_});
    }
    AddContributions(*codec_, parts, result);
    return result;
  }

  uint32_t workers() const { return workers_; }

 private:
  CommMath(const CommCase& test, uint32_t workers, std::unique_ptr<Codec> codec)
      : workers_(workers),
        plain_(test.codec.kind() == GradientCodec::NONE),
        pull_(test.pattern == CommPattern::kPull),
        codec_(std::move(codec)),
        blocks_(CommBlocks(test)) {}

  SumContext Context(uint32_t block) const {
    return {*codec_, nullptr, workers_, blocks_[block].count};
  }

  uint32_t workers_;
  bool plain_;
  bool pull_;
  std::unique_ptr<Codec> codec_;
  std::vector<CommBlock> blocks_;
};

uint64_t CountDifferent(std::span<const float> a, std::span<const float> b) {
  uint64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += !(a[i] == b[i]);
  return different;
}

class CommServer {
 public:
  CommServer(const std::vector<CommCase>& cases, uint32_t servers,
             uint32_t index, uint32_t workers, Link& link)
      : cases_(cases),
        servers_(servers),
        index_(index),
        workers_(workers),
        link_(link),
        peers_(workers) {}

  absl::Status OnFrame(PeerId peer, Frame frame) {
    if (frame.type == kHello) {
      if (frame.block >= workers_ || peers_[frame.block]) {
        return absl::InvalidArgumentError(absl::StrCat(
            "two processes are worker ", frame.block, " of ", workers_));
      }
      link_.Admit(peer, kFramePayloadBytesMax);
      peers_[frame.block] = peer;
      ranks_[peer] = frame.block;
      // Larger payloads are taken from now on.
      return link_.Send(peer, MakeFrame(kHello, 0, 0, {}));
    }
    const size_t index = frame.step >> 32;
    if (index >= cases_.size() || !ranks_.contains(peer)) {
      return absl::InvalidArgumentError("a frame of no case");
    }
    if (!math_ || index != case_) TERSE_RETURN_IF_ERROR(Begin(index));
    if (frame.type == kPull) return OnPull(peer, frame.step);
    return OnPush(ranks_[peer], std::move(frame));
  }

 private:
  absl::Status Begin(size_t index) {
    TERSE_ASSIGN_OR_RETURN(math_, CommMath::Make(cases_[index], workers_));
    case_ = index;
    parts_.assign(math_->blocks().size(), {});
    pulled_.clear();
    done_ = {};
    closed_ = 0;
    return absl::OkStatus();
  }

  absl::Status OnPull(PeerId peer, uint64_t step) {
    const absl::Time begin = absl::Now();
    for (uint32_t b = index_; b < math_->blocks().size(); b += servers_) {
      if (!pulled_.contains(b)) {
        std::vector<float> values(math_->blocks()[b].count);
        FillCommInput(kServerInput, math_->blocks()[b].first_index, values);
        TERSE_ASSIGN_OR_RETURN(Buffer payload,
                               math_->Encode(kServerInput, 0, b, values));
        pulled_[b] = MakeFrame(kData, 0, b, std::move(payload));
      }
      Frame frame = pulled_[b];
      frame.step = step;
      TERSE_RETURN_IF_ERROR(link_.Send(peer, std::move(frame)));
    }
    return SayDone(peer, step,
                   {.server_ns = static_cast<uint64_t>(
                        absl::ToInt64Nanoseconds(absl::Now() - begin))});
  }

  absl::Status OnPush(uint32_t worker, Frame frame) {
    if (frame.block >= parts_.size() || frame.block % servers_ != index_) {
      return absl::InvalidArgumentError("a block of another server");
    }
    std::vector<std::optional<Buffer>>& parts = parts_[frame.block];
    parts.resize(workers_);
    if (parts[worker]) return absl::InvalidArgumentError("a block came twice");
    const absl::Time begin = absl::Now();
    TERSE_RETURN_IF_ERROR(math_->codec().Validate(
        frame.payload.bytes(), math_->blocks()[frame.block].count));
    parts[worker] = std::move(frame.payload);
    const bool complete =
        std::all_of(parts.begin(), parts.end(),
                    [](const auto& part) { return part.has_value(); });
    if (complete) TERSE_RETURN_IF_ERROR(Close(frame.step, frame.block));
    done_.server_ns +=
        static_cast<uint64_t>(absl::ToInt64Nanoseconds(absl::Now() - begin));
    const size_t held = (parts_.size() - index_ + servers_ - 1) / servers_;
    if (!complete || ++closed_ < held) return absl::OkStatus();
    closed_ = 0;
    const Done done = std::exchange(done_, {});
    for (const auto& peer : peers_) {
      TERSE_RETURN_IF_ERROR(SayDone(*peer, frame.step, done));
    }
    return absl::OkStatus();
  }

  absl::Status Close(uint64_t step, uint32_t block) {
    std::vector<Contribution> parts;
    for (auto& part : std::exchange(parts_[block], {})) {
      parts.push_back({*std::move(part), 1.0 / workers_});
    }
    mean_.resize(math_->blocks()[block].count);
    AddContributions(math_->codec(), parts, mean_);
    const CommCase& test = cases_[case_];
    if (test.pattern == CommPattern::kPush) {
      if (!test.check || (step & ~0u) != LastIteration(test)) {
        return absl::OkStatus();
      }
      TERSE_ASSIGN_OR_RETURN(const auto expected, math_->Expected(step, block));
      done_.wrong += CountDifferent(mean_, expected);
      return absl::OkStatus();
    }
    const Frame frame =
        MakeFrame(kData, step, block, math_->EncodeDown(block, parts, mean_));
    for (const auto& peer : peers_) {
      TERSE_RETURN_IF_ERROR(link_.Send(*peer, frame));
    }
    return absl::OkStatus();
  }

  absl::Status SayDone(PeerId peer, uint64_t step, const Done& done) {
    return link_.Send(
        peer, MakeFrame(kDone, step, index_,
                        Buffer::CopyOf(std::as_bytes(std::span(&done, 1)))));
  }

  const std::vector<CommCase>& cases_;
  const uint32_t servers_;
  const uint32_t index_;
  const uint32_t workers_;
  Link& link_;
  std::vector<std::optional<PeerId>> peers_;  // By rank.
  std::map<PeerId, uint32_t> ranks_;
  size_t case_ = 0;
  std::optional<CommMath> math_;
  std::vector<std::vector<std::optional<Buffer>>> parts_;  // By block, worker.
  std::map<uint32_t, Frame> pulled_;                       // By block.
  std::vector<float> mean_;
  Done done_;
  size_t closed_ = 0;
};

class CommWorker {
 public:
  CommWorker(std::vector<PeerId> servers, uint32_t rank, uint32_t workers,
             Link& link, Inbox& inbox)
      : servers_(std::move(servers)),
        rank_(rank),
        workers_(workers),
        link_(link),
        inbox_(inbox) {}

  absl::StatusOr<CommTimes> Run(const CommCase& test, size_t index) {
    TERSE_ASSIGN_OR_RETURN(math_, CommMath::Make(test, workers_));
    size_t elements = 0;
    offsets_.clear();
    for (const CommBlock& block : math_->blocks()) {
      offsets_.push_back(elements);
      elements += block.count;
    }
    values_.resize(elements);
    result_.assign(elements, 0);
    for (uint32_t b = 0; b < math_->blocks().size(); ++b) {
      FillCommInput(rank_, math_->blocks()[b].first_index, Of(values_, b));
    }
    CommTimes times;
    LinkCounters before;
    for (uint32_t i = 0; i <= LastIteration(test); ++i) {
      if (i == test.warmup_iterations) {
        times = {};
        before = link_.Counters();
      }
      TERSE_RETURN_IF_ERROR(Iterate(test, StepOf(index, i), times));
    }
    const LinkCounters after = link_.Counters();
    times.bytes_sent = after.bytes_sent - before.bytes_sent;
    times.bytes_received = after.bytes_received - before.bytes_received;
    for (double* sum : {&times.encode_us, &times.decode_us, &times.server_us}) {
      *sum /= test.iterations;
    }
    if (test.check && test.pattern != CommPattern::kPush) {
      const uint64_t step = StepOf(index, LastIteration(test));
      for (uint32_t b = 0; b < math_->blocks().size(); ++b) {
        TERSE_ASSIGN_OR_RETURN(const auto expected, math_->Expected(step, b));
        times.wrong += CountDifferent(Of(result_, b), expected);
      }
    }
    return times;
  }

 private:
  std::span<float> Of(std::vector<float>& all, uint32_t block) {
    return std::span(all).subspan(offsets_[block],
                                  math_->blocks()[block].count);
  }

  absl::Status Iterate(const CommCase& test, uint64_t step, CommTimes& times) {
    const size_t blocks = math_->blocks().size();
    const size_t servers = std::min(blocks, servers_.size());
    const absl::Time begin = absl::Now();
    if (test.pattern == CommPattern::kPull) {
      for (size_t s = 0; s < servers; ++s) {
        TERSE_RETURN_IF_ERROR(
            link_.Send(servers_[s], MakeFrame(kPull, step, 0, {})));
      }
    } else {
      for (uint32_t b = 0; b < blocks; ++b) {
        const absl::Time start = absl::Now();
        TERSE_ASSIGN_OR_RETURN(Buffer payload,
                               math_->Encode(rank_, step, b, Of(values_, b)));
        Frame frame = MakeFrame(kPush, step, b, std::move(payload));
        times.encode_us += Microseconds(absl::Now() - start);
        TERSE_RETURN_IF_ERROR(
            link_.Send(servers_[b % servers_.size()], std::move(frame)));
      }
    }
    size_t missing = test.pattern == CommPattern::kPush ? 0 : blocks;
    size_t undone = servers;
    uint64_t server_ns = 0;
    while (missing + undone > 0) {
      TERSE_ASSIGN_OR_RETURN(const Frame frame, NextFrame(step));
      if (frame.type == kDone) {
        Done done;
        if (frame.payload.size() != sizeof(done)) {
          return absl::DataLossError("a server's word has another length");
        }
        std::memcpy(&done, frame.payload.bytes().data(), sizeof(done));
        server_ns = std::max(server_ns, done.server_ns);
        times.wrong += done.wrong;
        --undone;
        continue;
      }
      if (frame.block >= blocks || missing == 0) {
        return absl::InvalidArgumentError("a block that was not asked for");
      }
      const absl::Time start = absl::Now();
      TERSE_RETURN_IF_ERROR(math_->DecodeDown(frame.block, frame.payload,
                                              Of(result_, frame.block)));
      times.decode_us += Microseconds(absl::Now() - start);
      --missing;
    }
    times.server_us += static_cast<double>(server_ns) * 1e-3;
    times.total_us.push_back(Microseconds(absl::Now() - begin));
    return absl::OkStatus();
  }

  absl::StatusOr<Frame> NextFrame(uint64_t step) {
    auto event = inbox_.Pop(absl::Now() + kPatience);
    if (!event) return absl::DeadlineExceededError("the servers are silent");
    if (!event->frame) {
      return absl::UnavailableError(absl::StrCat(
          "a server was lost: ", std::string(event->reason.message())));
    }
    if (event->frame->step != step ||
        (event->frame->type != kData && event->frame->type != kDone)) {
      return absl::InvalidArgumentError("a frame of another step");
    }
    return *std::move(event->frame);
  }

  const std::vector<PeerId> servers_;
  const uint32_t rank_;
  const uint32_t workers_;
  Link& link_;
  Inbox& inbox_;
  std::optional<CommMath> math_;
  std::vector<size_t> offsets_;  // By block, into:
  std::vector<float> values_;
  std::vector<float> result_;
};

}  // namespace

std::vector<CommBlock> CommBlocks(const CommCase& test) {
  std::vector<CommBlock> blocks;
  for (uint32_t t = 0; t < test.tensors; ++t) {
    for (uint64_t first = 0; first < test.elements;
         first += kBlockElementsMax) {
      blocks.push_back({first, static_cast<uint32_t>(std::min<uint64_t>(
                                   kBlockElementsMax, test.elements - first))});
    }
  }
  return blocks;
}

void FillCommInput(uint32_t worker, uint64_t first, std::span<float> values) {
  const uint64_t key = DrawKey(Draw::kSimulate, {worker});
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        0.01f * (RandomUnit(key, static_cast<uint32_t>(first + i)) - 0.5f);
  }
}

absl::Status ServeComm(const std::vector<CommCase>& cases, uint32_t servers,
                       uint32_t index, uint32_t workers, Link& link,
                       Inbox& inbox) {
  CommServer server(cases, servers, index, workers, link);
  for (uint32_t left = workers; left > 0;) {
    auto event = inbox.Pop(absl::Now() + kPatience);
    if (!event) return absl::DeadlineExceededError("the workers are silent");
    if (event->frame) {
      TERSE_RETURN_IF_ERROR(
          server.OnFrame(event->peer, *std::move(event->frame)));
    } else {
      TERSE_RETURN_IF_ERROR(event->reason);
      --left;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CommTimes>> TimeComm(
    const std::vector<CommCase>& cases, const std::vector<std::string>& servers,
    uint32_t rank, uint32_t workers, Link& link, Inbox& inbox) {
  std::vector<PeerId> peers;
  for (const std::string& server : servers) {
    peers.push_back(link.Connect(server, absl::Minutes(1)));
    TERSE_RETURN_IF_ERROR(
        link.Send(peers.back(), MakeFrame(kHello, 0, rank, {})));
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    const auto event = inbox.Pop(absl::Now() + kPatience);
    if (event && event->frame && event->frame->type == kHello) continue;
    return absl::UnavailableError(
        event && !event->frame ? std::string(event->reason.message())
                               : std::string("a server gives no answer"));
  }
  std::vector<CommTimes> all;
  CommWorker worker(peers, rank, workers, link, inbox);
  for (size_t c = 0; c < cases.size(); ++c) {
    TERSE_ASSIGN_OR_RETURN(CommTimes times, worker.Run(cases[c], c));
    all.push_back(std::move(times));
  }
  for (const PeerId peer : peers) link.Close(peer);
  for (size_t i = 0; i < peers.size(); ++i) {
    if (!inbox.Pop(absl::Now() + absl::Seconds(10))) break;
  }
  return all;
}

}  // namespace terse
