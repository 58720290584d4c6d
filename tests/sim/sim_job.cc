#include "tests/sim/sim_job.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "server/server.h"
#include "spdlog/spdlog.h"
#include "tests/sim/residual_check.h"
#include "worker/session.h"

namespace terse {
namespace {

// Hands a link's events to a role at once: in the simulator everything happens
// on one thread, one event at a time.
template <typename Role>
class DirectSink final : public FrameSink {
 public:
  void set_role(Role* role) { role_ = role; }
  absl::Status OnFrame(PeerId peer, Frame frame) override {
    if (role_ != nullptr) role_->OnFrame(peer, std::move(frame));
    return absl::OkStatus();
  }
  void OnPeerLost(PeerId peer, const absl::Status& reason) override {
    if (role_ != nullptr) role_->OnPeerLost(peer, reason);
  }

 private:
  Role* role_ = nullptr;
};

template <typename Role>
struct Node {
  DirectSink<Role> sink;
  std::unique_ptr<Link> link;
  std::unique_ptr<Role> role;
  bool started = false;
  bool lost = false;
};

// Calls `push` with a tensor's gradient.
using Push = absl::FunctionRef<absl::Status()>;
using PushWatch =
    std::function<absl::Status(uint64_t step, uint32_t tensor,
                               std::span<const float> gradient, Push push)>;

// Tells the job how far each worker has come, and of what it pushes.
class WatchedModel final : public NetworkModel {
 public:
  WatchedModel(std::unique_ptr<NetworkModel> model,
               std::function<void(uint64_t)> on_step, PushWatch on_push)
      : model_(std::move(model)),
        on_step_(std::move(on_step)),
        on_push_(std::move(on_push)) {}
  uint64_t train_samples() const override { return model_->train_samples(); }
  uint64_t test_samples() const override { return model_->test_samples(); }
  std::span<float> Values(uint32_t tensor) override {
    return model_->Values(tensor);
  }
  absl::Status ComputeGradient(
      uint64_t step, const std::function<void(const LossSums&)>& on_loss,
      const std::function<absl::Status(uint32_t, std::span<const float>)>&
          on_gradient) override {
    on_step_(step);
    return model_->ComputeGradient(
        step, on_loss, [&](uint32_t tensor, std::span<const float> gradient) {
          return on_push_(step, tensor, gradient,
                          [&] { return on_gradient(tensor, gradient); });
        });
  }
  absl::StatusOr<LossSums> Evaluate(uint64_t first, uint64_t count) override {
    return model_->Evaluate(first, count);
  }

 private:
  const std::unique_ptr<NetworkModel> model_;
  const std::function<void(uint64_t)> on_step_;
  const PushWatch on_push_;
};

std::string DigestOf(const Job& job, NetworkModel& model) {
  const absl::StatusOr<Plan> plan = MakePlan(job);
  if (!plan.ok()) return "";
  Sha256 hash;
  for (const BlockSpec& block : plan->blocks) {
    if (plan->IsBuffer(block.tensor)) continue;
    hash.Update(Sha256Of(std::as_bytes(
        model.Values(block.tensor).subspan(block.first_index, block.count))));
  }
  return Hex(hash.Finish());
}

class SimJob {
 public:
  SimJob(const Job& job, const SimJobOptions& options)
      : job_(job),
        options_(options),
        network_(NetworkOptions(options)),
        servers_(ServerCount(job)),
        workers_(job.cluster().workers()),
        residuals_(job.cluster().workers()),
        steps_(job.cluster().workers()),
        begun_(job.cluster().workers()) {}

  SimJobResult Run() {
    for (uint32_t s = 0; s < servers_.size(); ++s) AddServer(s);
    for (uint32_t w = 0; w < workers_.size(); ++w) AddWorker(w);
    ScheduleFaults();
    const absl::Time begin = network_.clock().Now();
    const absl::Time deadline = begin + options_.time_max;
    uint64_t events = 0;
    while (!Ended() && network_.Step()) {
      GoOn();
      if (++events > options_.events_max || network_.clock().Now() > deadline) {
        result_.status = absl::DeadlineExceededError("the job is stuck");
        return std::move(result_);
      }
    }
    if (!Ended()) {
      result_.status =
          absl::InternalError("nothing is pending and the job has not ended");
      return std::move(result_);
    }
    while (!Finished() && network_.clock().Now() < deadline &&
           network_.Step()) {
    }
    result_.all_left = Finished();
    result_.seconds = absl::ToDoubleSeconds(network_.clock().Now() - begin);
    Collect();
    return std::move(result_);
  }

 private:
  void ScheduleFaults() {
    if (options_.stop_after) {
      network_.Schedule(*options_.stop_after, [this] { Stop(); });
    }
    if (options_.lose_worker_after) {
      network_.Schedule(*options_.lose_worker_after, [this] {
        workers_[0].lost = true;
        workers_[0].link.reset();
      });
    }
    for (const SimJobOptions::Loss& loss : options_.losses) {
      network_.Schedule(loss.after, [this, loss] { Lose(loss); });
    }
    for (const SimJobOptions::Trouble& trouble : options_.troubles) {
      network_.Schedule(trouble.after, [this, trouble] {
        if (trouble.server) {
          const Node<Server>& node = servers_[*trouble.server];
          if (node.link == nullptr || node.lost) return;
          network_.Cut(*node.link,
                       Address((*trouble.server + 1) % servers_.size()));
          return;
        }
        const Node<WorkerSession>& node = workers_[trouble.worker];
        if (node.link == nullptr || node.lost) return;
        if (trouble.stall) {
          network_.Stall(*node.link, *trouble.stall);
        } else {
          network_.Cut(*node.link, Address(trouble.shard));
        }
      });
    }
    if (options_.claim_after) {
      network_.Schedule(*options_.claim_after, [this] {
        claimant_.link = network_.MakeLink("", claimant_.sink);
        StartWorker(claimant_, 0);
      });
    }
  }

  // What the roles and the network have come to.
  void Collect() {
    ForEachRole([this](auto& role) {
      result_.status.Update(role.result());
      result_.statuses.push_back(role.result());
    });
    for (auto& node : workers_) {
      if (!node.started || node.lost || node.role->model() == nullptr) {
        continue;
      }
      result_.worker_sha256.push_back(DigestOf(job_, *node.role->model()));
    }
    if (claimant_.started && claimant_.role->ended()) {
      result_.claimant = claimant_.role->result();
    }
    for (const auto& residual : residuals_) {
      if (residual) result_.residuals_checked += residual->elements_checked();
    }
    result_.frames = network_.frames_delivered();
    result_.overtakes_within = network_.overtakes_within();
    result_.overtakes_across = network_.overtakes_across();
    result_.damage = network_.damage();
    result_.bytes_under_way_max = network_.bytes_under_way_max();
  }

  static SimNetworkOptions NetworkOptions(const SimJobOptions& options) {
    SimNetworkOptions network = options.network;
    network.repeats_per_mille = options.repeats_per_mille;
    // What a worker pushes counts once, however often it comes.
    network.may_repeat = [](const Frame& frame) {
      return frame.type == wire::GRADIENT || frame.type == wire::FACTOR ||
             frame.type == wire::STEP || frame.type == wire::BUFFERS ||
             frame.type == wire::STATISTICS || frame.type == wire::EVALUATION;
    };
    return network;
  }

  // Whether `condition` holds for all nodes; one that was stopped before it
  // started is none.
  template <typename Condition>
  bool All(const Condition& condition) const {
    const auto holds = [&](const auto& node) {
      if (node.lost) return true;
      return node.started ? condition(*node.role) : stopped_;
    };
    return std::all_of(servers_.begin(), servers_.end(), holds) &&
           std::all_of(workers_.begin(), workers_.end(), holds);
  }
  bool Ended() const {
    return replacements_due_ == 0 && All([](const auto& role) {
             return role.ended() && !role.goes_on();
           });
  }
  bool Finished() const {
    return All([](const auto& role) { return role.finished(); });
  }

  // Of those that run, or have come to their end.
  template <typename Act>
  void ForEachRole(const Act& act) {
    const auto visit = [&](auto& node) {
      if (node.started && !node.lost) act(*node.role);
    };
    std::for_each(servers_.begin(), servers_.end(), visit);
    std::for_each(workers_.begin(), workers_.end(), visit);
  }

  template <typename Node>
  void LoseNode(Node& node, bool silent) {
    node.lost = true;
    node.sink.set_role(nullptr);
    if (!silent) node.link.reset();
  }

  void Lose(const SimJobOptions::Loss& loss) {
    if (loss.process < servers_.size()) {
      const uint32_t shard = loss.process;
      if (servers_[shard].lost) return;
      LoseNode(servers_[shard], loss.silent);
      if (!options_.replace_after || loss.silent ||
          job_.cluster().replicas() == 0) {
        return;
      }
      ++replacements_due_;
      network_.Schedule(*options_.replace_after, [this, shard] {
        --replacements_due_;
        lost_servers_.push_back(std::move(servers_[shard]));
        servers_[shard] = {};
        servers_[shard].link = network_.MakeLink(
            options_.moves && shard > 0
                ? absl::StrCat(Address(shard), ".", lost_servers_.size())
                : Address(shard),
            servers_[shard].sink);
        StartServer(shard, {.job = job_, .resume = Newest()});
      });
    } else {
      const uint32_t rank = loss.process - servers_.size();
      if (workers_[rank].lost) return;
      LoseNode(workers_[rank], loss.silent);
      if (!options_.replace_after || loss.silent) return;
      ++replacements_due_;
      network_.Schedule(*options_.replace_after, [this, rank] {
        --replacements_due_;
        lost_.push_back(std::move(workers_[rank]));
        workers_[rank] = {};
        workers_[rank].link = MakeWorkerLink(rank);
        StartWorker(workers_[rank], rank);
      });
    }
  }

  // What a signal to all processes at once does.
  void Stop() {
    if (options_.stop_with_checkpoint) {
      ForEachRole([](auto& role) { role.Stop(15); });
      return;
    }
    stopped_ = true;
    const absl::Status reason = WithExitCode(
        absl::CancelledError("stopped by a signal"), ExitCode::kTerminated);
    ForEachRole([&](auto& role) { role.Abort(reason); });
  }

  absl::Duration StartDelay() {
    return absl::Nanoseconds(
        network_.Random(1 + absl::ToInt64Nanoseconds(options_.start_spread)));
  }

  // Where a process that is told to go on by itself would.
  std::optional<FoundCheckpoint> Newest() const {
    std::vector<std::string> passed_over;
    if (options_.checkpoint_directory.empty()) return std::nullopt;
    return NewestCheckpoint(options_.checkpoint_directory, passed_over);
  }

  static std::string Address(uint32_t shard) {
    return absl::StrCat("shard", shard);
  }

  void AddServer(uint32_t shard) {
    network_.Schedule(StartDelay(), [this, shard] {
      Node<Server>& node = servers_[shard];
      // Another may have its place before it has come.
      if (stopped_ || node.lost || node.started) return;
      node.link = network_.MakeLink(Address(shard), node.sink);
      StartServer(shard, {.job = job_, .resume = options_.resume});
    });
  }

  void StartServer(uint32_t shard, NextServer next) {
    Node<Server>& node = servers_[shard];
    ServerOptions options;
    options.shard = shard;
    if (shard == 0) {
      options.job = next.job;
      options.checkpoint_directory = options_.checkpoint_directory;
      options.resume = next.resume;
      options.rates = next.rates;
    }
    options.background = std::make_unique<InlineBackground>();
    options.coordinator_address = Address(0);
    options.token = "token";
    options.incarnation = ++incarnations_;
    options.on_event = [this](const nlohmann::json& event) {
      result_.events.push_back(event);
    };
    options.on_report = [this](const nlohmann::json& report) {
      result_.report = report;
      ForEachRole([this](auto& role) {
        result_.ended_before_report += role.ended() ? 1 : 0;
      });
    };
    node.role = std::make_unique<Server>(std::move(options), *node.link,
                                         network_.clock());
    node.sink.set_role(node.role.get());
    node.started = true;
    const absl::Status started = node.role->Start();
    if (!started.ok()) node.role->Abort(started);
    for (auto& [peer, frame] : next.frames) {
      node.role->OnFrame(peer, std::move(frame));
    }
    Tick(node);
  }

  // Roles that have ended to go on with another codec start again.
  void GoOn() {
    const auto due = [](const auto& node) {
      return node.started && !node.lost && node.role->goes_on() &&
             node.role->finished();
    };
    for (uint32_t s = 0; s < servers_.size(); ++s) {
      if (!due(servers_[s])) continue;
      NextServer next = servers_[s].role->TakeNext();
      servers_[s].sink.set_role(nullptr);
      servers_[s].role.reset();
      StartServer(s, std::move(next));
    }
    for (uint32_t w = 0; w < workers_.size(); ++w) {
      if (due(workers_[w])) StartWorker(workers_[w], w);
    }
  }

  void AddWorker(uint32_t rank) {
    network_.Schedule(StartDelay(), [this, rank] {
      Node<WorkerSession>& node = workers_[rank];
      // Another may have its place before it has come.
      if (stopped_ || node.lost || node.started) return;
      node.link = MakeWorkerLink(rank);
      StartWorker(node, rank);
    });
  }

  std::unique_ptr<Link> MakeWorkerLink(uint32_t rank) {
    return network_.MakeLink("", workers_[rank].sink,
                             [this, rank](const Frame& frame) {
                               if (residuals_[rank] == nullptr) return;
                               residuals_[rank]->OnSent(frame);
                             });
  }

  void StartWorker(Node<WorkerSession>& node, uint32_t rank) {
    SessionOptions options;
    options.coordinator_address = Address(0);
    options.rank = rank;
    options.token = "token";
    options.incarnation = ++incarnations_;
    options.measure_work = options_.measure_work;
    node.sink.set_role(nullptr);
    if (&node != &claimant_) residuals_[rank].reset();  // It has the old plan.
    node.role = std::make_unique<WorkerSession>(
        std::move(options),
        [this](const Job& job, const Plan& plan, uint32_t worker) {
          return MakeModel(job, plan, worker);
        },
        *node.link, network_.clock());
    node.sink.set_role(node.role.get());
    node.started = true;
    node.role->Start();
    Tick(node);
  }

  absl::StatusOr<std::unique_ptr<NetworkModel>> MakeModel(const Job& job,
                                                          const Plan& plan,
                                                          uint32_t worker) {
    begun_[worker] = false;  // A job that goes on repeats steps.
    residuals_[worker] = std::make_unique<ResidualCheck>(plan);
    return std::make_unique<WatchedModel>(
        std::make_unique<SimModel>(job, plan, worker, options_.model),
        [this, worker](uint64_t step) {
          // Backup workers leave steps out.
          const bool skips = job_.cluster().backup_workers() > 0;
          if (begun_[worker] && step != steps_[worker] &&
              !(skips && step > steps_[worker])) {
            result_.status.Update(absl::InternalError(
                absl::StrCat("worker ", worker, " computes step ", step,
                             " where it should ", steps_[worker])));
          }
          // All begin with the same version, not always the first.
          if (std::find(begun_.begin(), begun_.end(), true) == begun_.end()) {
            std::fill(steps_.begin(), steps_.end(), step);
          }
          begun_[worker] = true;
          steps_[worker] = step;
          ++result_.steps;
          const uint64_t slowest =
              *std::min_element(steps_.begin(), steps_.end());
          result_.lead_max = std::max(result_.lead_max, step - slowest);
          steps_[worker] = step + 1;  // What follows takes no simulated time.
        },
        [this, worker](uint64_t step, uint32_t tensor,
                       std::span<const float> gradient, Push push) {
          ResidualCheck& residual = *residuals_[worker];
          const Uplink& uplink = *workers_[worker].role->uplink();
          residual.Begin(uplink, step, tensor, gradient);
          const absl::Status pushed = push();
          if (!pushed.ok()) return pushed;
          const std::string wrong = residual.End(uplink);
          if (wrong.empty()) return pushed;
          return absl::InternalError(
              absl::StrCat("worker ", worker, ", ", wrong));
        });
  }

  template <typename Node>
  void Tick(Node& node) {
    if (node.lost) return;
    node.role->OnTime();
    if (node.role->ended()) return;
    network_.Schedule(absl::Milliseconds(options_.tick_ms),
                      [this, &node] { Tick(node); });
  }

  const Job& job_;
  const SimJobOptions& options_;
  SimNetwork network_;
  std::vector<Node<Server>> servers_;
  std::vector<Node<WorkerSession>> workers_;
  // Replaced ones, which events that are pending may still name.
  std::vector<Node<WorkerSession>> lost_;
  std::vector<Node<Server>> lost_servers_;
  Node<WorkerSession> claimant_;
  std::vector<std::unique_ptr<ResidualCheck>> residuals_;  // By worker.
  std::vector<uint64_t> steps_;  // By worker: that comes next.
  std::vector<bool> begun_;      // By worker: whether steps_ is known.
  uint64_t incarnations_ = 0;
  // Lost processes whose replacements have not started.
  uint64_t replacements_due_ = 0;
  bool stopped_ = false;
  SimJobResult result_;
};

}  // namespace

SimJobResult RunSimJob(const Job& job, const SimJobOptions& options) {
  // Thousands of jobs' logs help nobody.
  spdlog::set_level(spdlog::level::off);
  return SimJob(job, options).Run();
}

}  // namespace terse
