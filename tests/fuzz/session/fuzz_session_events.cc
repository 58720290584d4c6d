// Whatever frames come, in whatever order, from peers that come and go: a
// coordinator, a shard and a worker neither crash nor wait for anybody who has
// left, and say in one line and with an exit code why they end. The input's
// first byte chooses role and job; then come events: a byte for what happens
// and to which peer, and for a frame its type, step, block, length and payload.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"
#include "tests/sim/sim_model.h"
#include "worker/session.h"

namespace terse {
namespace {

// Statistics over shards, batch-norm buffers, codes down, two of every role.
constexpr char kJob[] = R"(
model: {mlp: {hidden: [3], batch_norm: true}}
data: {kind: noise, shape: [1, 2, 2], train_samples: 20, test_samples: 4}
quantize: {weights: {kind: dorefa, bits: 2}, ends: quantized}
compress:
  gradient: {kind: topk, ratio: 0.5, error_feedback: true}
  small_tensor_elements: 0
clip: {global_norm: 0.5}
train: {steps: 2, batch_size: 5}
cluster: {servers: 2, workers: 2}
)";

// The corpus counts on the order of these: more go behind them.
std::vector<std::vector<std::string>> Overrides() {
  std::vector<std::vector<std::string>> all;
  for (const char* const loss : {"wait", "continue"}) {
    for (const char* const spare : {"0", "1"}) {
      all.push_back({absl::StrCat("cluster.on_worker_loss=", loss),
                     absl::StrCat("cluster.backup_workers=", spare)});
    }
  }
  all.push_back({"cluster.replicas=1"});
  // Their workers share batch-norm statistics with every step.
  for (const char* const replicas : {"0", "1"}) {
    all.push_back({absl::StrCat("cluster.replicas=", replicas),
                   "model.mlp.hidden=[2]", "compress.gradient=terngrad",
                   "compress.down=weights", "quantize.weights=bwn"});
  }
  // Sums come down and go to the mirror, with the optimizer's state.
  all.push_back({"cluster.replicas=1", "model.mlp.hidden=[2]",
                 "compress.gradient={kind: terngrad, scale: shared}",
                 "compress.down=sum", "quantize.weights=none",
                 "optimizer.momentum=0.9"});
  // Two exchanges in a step.
  all.push_back({"cluster.replicas=1", "model.mlp.hidden=[2]",
                 "compress.gradient={kind: powersgd, rank: 1}",
                 "quantize.weights=none"});
  // Learned scales.
  all.push_back({"cluster.replicas=1", "model.mlp.hidden=[1]",
                 "compress.gradient=none", "quantize.weights=ttq",
                 "optimizer.kind=adam"});
  // Workers with clocks of their own.
  for (const char* const mode :
       {"{mode: ssp, staleness_steps_max: 1}", "{mode: async}"}) {
    all.push_back({absl::StrCat("cluster=", mode), "cluster.servers=2",
                   "cluster.workers=2", "clip.global_norm=0",
                   "quantize.weights=binaryconnect"});
  }
  // The codec is chosen by what workers say that they have measured.
  all.push_back({"compress.gradient=auto",
                 "compress.auto.check_every_seconds=1", "quantize.weights=none",
                 "train.steps=9"});
  return all;
}

const std::vector<Job>* MakeJobs() {
  spdlog::set_level(spdlog::level::off);
  auto* const jobs = new std::vector<Job>;
  for (const std::vector<std::string>& overrides : Overrides()) {
    const auto job = ParseJob(kJob, "fuzz_session", overrides);
    TERSE_CHECK(job.ok());
    jobs->push_back(*job);
  }
  return jobs;
}

// A link to peers that the input plays.
class FuzzLink final : public Link {
 public:
  PeerId Connect(const std::string&, absl::Duration) override {
    open.insert(++connected);
    return PeerId{connected};
  }
  absl::Status Send(PeerId peer, Frame) override {
    const auto number = static_cast<uint64_t>(peer);
    if (!open.contains(number) || closed.contains(number)) {
      return absl::NotFoundError("the peer is closed");
    }
    return absl::OkStatus();
  }
  void Admit(PeerId, size_t) override {}
  void Close(PeerId peer) override {
    closed.insert(static_cast<uint64_t>(peer));
  }
  LinkCounters Counters() const override { return {}; }
  std::string Address() const override { return "here"; }

  uint64_t connected = 0;
  std::set<uint64_t> open;  // Connected or heard of, and not lost.
  std::set<uint64_t> closed;
};

// A disk on which nothing can be written.
class FullDisk final : public Background {
 public:
  void Run(Work, Done done) override { waiting_.push_back(std::move(done)); }
  void Poll() override {
    for (const Done& done : std::exchange(waiting_, {})) {
      done(absl::UnavailableError("the disk is full"));
    }
  }

 private:
  std::vector<Done> waiting_;
};

// Those that connect to us.
constexpr uint64_t kIncoming = 100;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Byte() {
    if (empty()) return 0;
    --size_;
    return *data_++;
  }
  std::string Bytes(size_t count) {
    const size_t taken = std::min(count, size_);
    std::string bytes(reinterpret_cast<const char*>(data_), taken);
    data_ += taken;
    size_ -= taken;
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

Frame ReadFrame(Input& input) {
  const FrameType type = input.Byte();
  const uint64_t step = input.Byte();
  const uint32_t block = input.Byte();
  size_t bytes = input.Byte();
  // No input is as long as a probe of a wire's rate.
  if (type == wire::PROBE && bytes == 255) {
    return MakeFrame(type, step, block,
                     Buffer::CopyOf(std::vector<std::byte>(kProbeBytes)));
  }
  if (bytes == 255) bytes += input.Byte();
  return MakeFrame(type, step, block, Buffer::CopyOf(input.Bytes(bytes)));
}

// What takes half a second of a real clock each time.
bool MeasuresCompute(const Frame& frame) {
  if (frame.type != wire::MEASURE) return false;
  const auto measure = ParseMessage<wire::Measure>(frame);
  return measure.ok() && measure->compute();
}

// To a job that begins or, if `under_way`, to one that a shard has been lost
// of.
Frame Welcome(const Job& job, bool under_way) {
  wire::Welcome welcome;
  if (under_way) {
    welcome.mutable_start()->set_steps_total(2);
    welcome.mutable_start()->set_steps_per_epoch(2);
    for (const char* const address : {"a", "b"}) {
      welcome.mutable_start()->add_shard_addresses(address);
      welcome.add_incarnations(0);
    }
  }
  welcome.set_job_yaml(PrintJob(job));
  welcome.add_shard_addresses("a");
  welcome.add_shard_addresses("b");
  return MakeMessage(wire::WELCOME, welcome);
}

template <typename Role>
void Play(Role& role, FuzzLink& link, ManualClock& clock, const Job& job,
          Input input) {
  const auto lose = [&](uint64_t peer, const absl::Status& reason) {
    if (link.open.erase(peer) > 0) role.OnPeerLost(PeerId{peer}, reason);
  };
  std::set<uint64_t> gone;
  while (!input.empty()) {
    const uint8_t event = input.Byte();
    const uint64_t number = event & 3;
    const uint64_t peer = event & 0x20 ? 1 + number : kIncoming + number;
    if (peer < kIncoming && peer > link.connected) continue;
    switch ((event >> 2) & 7) {
      case 5:
        gone.insert(peer);
        lose(peer, event & 0x40 ? absl::OkStatus()
                                : absl::UnavailableError("it broke off"));
        break;
      case 6:
        clock.Set(clock.Now() + absl::Seconds(input.Byte()));
        role.OnTime();
        break;
      default: {
        const bool welcome = ((event >> 2) & 7) == 7;
        Frame frame = welcome ? Welcome(job, event & 0x40) : ReadFrame(input);
        if (gone.contains(peer) || link.closed.contains(peer)) break;
        if (MeasuresCompute(frame)) break;
        link.open.insert(peer);
        role.OnFrame(PeerId{peer}, std::move(frame));
      }
    }
  }
  role.Abort(absl::CancelledError("the input ends"));
  while (!link.open.empty()) lose(*link.open.begin(), absl::OkStatus());
  TERSE_CHECK(role.finished());
  const absl::Status& result = role.result();
  TERSE_CHECK(result.ok() || ExitCodeOf(result) != ExitCode::kOk);
  TERSE_CHECK(result.message().find('\n') == result.message().npos);
}

void PlayServer(uint32_t shard, const Job& job, Input input) {
  FuzzLink link;
  ManualClock clock;
  ServerOptions options;
  options.shard = shard;
  if (shard == 0) options.job = job;
  options.coordinator_address = "coordinator";
  options.checkpoint_directory = "nowhere";
  options.background = std::make_unique<FullDisk>();
  Server server(std::move(options), link, clock);
  TERSE_CHECK(server.Start().ok());
  Play(server, link, clock, job, input);
}

void PlayWorker(const Job& job, Input input) {
  FuzzLink link;
  ManualClock clock;
  SessionOptions options;
  options.coordinator_address = "coordinator";
  // As far as it goes without a clock.
  options.measure_work = [](const Job& measured) -> absl::StatusOr<StepWork> {
    TERSE_RETURN_IF_ERROR(MakePlan(measured).status());
    return StepWork{};
  };
  WorkerSession session(
      std::move(options),
      [](const Job& read, const Plan& plan,
         uint32_t rank) -> absl::StatusOr<std::unique_ptr<NetworkModel>> {
        return std::make_unique<SimModel>(read, plan, rank, SimModelOptions{});
      },
      link, clock);
  session.Start();
  Play(session, link, clock, job, input);
}

}  // namespace
}  // namespace terse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  static const std::vector<Job>* const jobs = MakeJobs();
  Input input(data, size);
  const uint8_t first = input.Byte();
  const uint8_t role = first % 3;
  const Job& job = (*jobs)[first / 3 % jobs->size()];
  if (role == 2) {
    PlayWorker(job, input);
  } else {
    PlayServer(role, job, input);
  }
  return 0;
}
