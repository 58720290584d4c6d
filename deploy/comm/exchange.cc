#include "deploy/comm/exchange.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"

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

double Microseconds(absl::Duration duration) {
  return absl::ToDoubleMicroseconds(duration);
}

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
    BeginTiming();
    TERSE_RETURN_IF_ERROR(Iterate(test, index, 0, test.warmup_iterations));
    BeginTiming();
    TERSE_RETURN_IF_ERROR(
        Iterate(test, index, test.warmup_iterations, test.iterations));
    const LinkCounters after = link_.Counters();
    times_.bytes_sent = after.bytes_sent - before_.bytes_sent;
    times_.bytes_received = after.bytes_received - before_.bytes_received;
    times_.server_us = static_cast<double>(*std::max_element(
                           server_ns_.begin(), server_ns_.end())) *
                       1e-3;
    for (double* sum :
         {&times_.encode_us, &times_.decode_us, &times_.server_us}) {
      *sum /= test.iterations;
    }
    if (test.check && test.pattern != CommPattern::kPush) {
      const uint64_t step = StepOf(index, LastIteration(test));
      for (uint32_t b = 0; b < math_->blocks().size(); ++b) {
        TERSE_ASSIGN_OR_RETURN(const auto expected, math_->Expected(step, b));
        times_.wrong += CountDifferent(Of(result_, b), expected);
      }
    }
    return std::move(times_);
  }

 private:
  std::span<float> Of(std::vector<float>& all, uint32_t block) {
    return std::span(all).subspan(offsets_[block],
                                  math_->blocks()[block].count);
  }

  // What was before is warming up.
  void BeginTiming() {
    times_ = {};
    server_ns_.assign(servers_.size(), 0);
    before_ = link_.Counters();
  }

  absl::Status Iterate(const CommCase& test, size_t index, uint32_t first,
                       uint32_t count) {
    if (test.continuous && count > 0)
      return Exchange(test, index, first, count);
    for (uint32_t i = first; i < first + count; ++i) {
      TERSE_RETURN_IF_ERROR(Exchange(test, index, i, 1));
    }
    return absl::OkStatus();
  }

  // `count` iterations from `first` on, of each block on its own.
  absl::Status Exchange(const CommCase& test, size_t index, uint32_t first,
                        uint32_t count) {
    const size_t blocks = math_->blocks().size();
    const size_t servers = std::min(blocks, servers_.size());
    absl::Time begin = absl::Now();
    next_.assign(blocks, first);
    if (test.pattern == CommPattern::kPull) {
      for (size_t s = 0; s < servers; ++s) {
        TERSE_RETURN_IF_ERROR(link_.Send(
            servers_[s], MakeFrame(kPull, StepOf(index, first), 0, {})));
      }
    } else {
      for (uint32_t b = 0; b < blocks; ++b) {
        TERSE_RETURN_IF_ERROR(Push(StepOf(index, first), b));
      }
    }
    // What an iteration brings: blocks, and a word of each server.
    const size_t frames =
        servers + (test.pattern == CommPattern::kPush ? 0 : blocks);
    for (size_t left = frames * count; left > 0;) {
      TERSE_ASSIGN_OR_RETURN(const Frame frame, NextFrame());
      if (frame.type == kDone) {
        TERSE_RETURN_IF_ERROR(OnDone(frame));
      } else {
        if (frame.type != kData || frame.block >= blocks ||
            frame.step != StepOf(index, next_[frame.block])) {
          return absl::InvalidArgumentError("a block that was not asked for");
        }
        const absl::Time start = absl::Now();
        TERSE_RETURN_IF_ERROR(math_->DecodeDown(frame.block, frame.payload,
                                                Of(result_, frame.block)));
        times_.decode_us += Microseconds(absl::Now() - start);
        if (++next_[frame.block] < first + count) {
          TERSE_RETURN_IF_ERROR(
              Push(StepOf(index, next_[frame.block]), frame.block));
        }
      }
      if (--left % frames > 0) continue;
      const absl::Time now = absl::Now();
      times_.total_us.push_back(Microseconds(now - begin));
      begin = now;
    }
    return absl::OkStatus();
  }

  absl::Status Push(uint64_t step, uint32_t block) {
    const absl::Time start = absl::Now();
    TERSE_ASSIGN_OR_RETURN(
        Buffer payload, math_->Encode(rank_, step, block, Of(values_, block)));
    Frame frame = MakeFrame(kPush, step, block, std::move(payload));
    times_.encode_us += Microseconds(absl::Now() - start);
    return link_.Send(servers_[block % servers_.size()], std::move(frame));
  }

  absl::Status OnDone(const Frame& frame) {
    Done done;
    if (frame.payload.size() != sizeof(done) ||
        frame.block >= servers_.size()) {
      return absl::DataLossError("a server's word makes no sense");
    }
    std::memcpy(&done, frame.payload.bytes().data(), sizeof(done));
    server_ns_[frame.block] += done.server_ns;
    times_.wrong += done.wrong;
    return absl::OkStatus();
  }

  absl::StatusOr<Frame> NextFrame() {
    auto event = inbox_.Pop(absl::Now() + kPatience);
    if (!event) return absl::DeadlineExceededError("the servers are silent");
    if (!event->frame) {
      return absl::UnavailableError(absl::StrCat(
          "a server was lost: ", std::string(event->reason.message())));
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
  std::vector<uint32_t> next_;  // By block: the iteration that comes down next.

  CommTimes times_;
  std::vector<uint64_t> server_ns_;  // By server.
  LinkCounters before_;
};

}  // namespace

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
