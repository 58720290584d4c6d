#include "worker/local_job.h"

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/transport/memory_link.h"
#include "common/wire/event_loop.h"
#include "server/server.h"

namespace terse {
namespace {

// What a role needs to live on its own thread.
struct Endpoint {
  Inbox inbox{2 * kOutboxBytesMax};
  std::unique_ptr<Link> link;
};

std::string ShardAddress(uint32_t shard) {
  return absl::StrCat("shard", shard);
}

class LocalJob {
 public:
  LocalJob(const Job& job, const LocalJobOptions& options)
      : job_(job),
        options_(options),
        stop_(options.stop != nullptr ? *options.stop : never_) {}

  absl::StatusOr<nlohmann::json> Run() {
    for (uint32_t s = 0; s < ServerCount(job_); ++s) {
      TERSE_RETURN_IF_ERROR(AddServer(s));
    }
    for (uint32_t w = 0; w < job_.cluster().workers(); ++w) {
      TERSE_RETURN_IF_ERROR(AddWorker(w));
    }
    for (std::unique_ptr<Server>& server : servers_) {
      TERSE_RETURN_IF_ERROR(server->Start());
    }
    std::vector<std::thread> threads;
    for (uint32_t s = 0; s < servers_.size(); ++s) {
      threads.emplace_back([this, s] { Record(RunServer(s)); });
    }
    for (uint32_t w = 0; w < workers_.size(); ++w) {
      threads.emplace_back([this, w] { Record(RunWorker(w)); });
    }
    for (std::thread& thread : threads) thread.join();
    TERSE_RETURN_IF_ERROR(first_error_);
    return report_;
  }

 private:
  absl::Status RunServer(uint32_t shard) {
    while (true) {
      TERSE_RETURN_IF_ERROR(RunEventLoop(
          *servers_[shard], server_ends_[shard]->inbox, clock_, stop_));
      if (!servers_[shard]->goes_on()) return absl::OkStatus();
      NextServer next = servers_[shard]->TakeNext();
      if (shard == 0 && options_.on_choice) options_.on_choice(next.job);
      MakeServer(shard, next);
      TERSE_RETURN_IF_ERROR(servers_[shard]->Start());
      for (auto& [peer, frame] : next.frames) {
        servers_[shard]->OnFrame(peer, std::move(frame));
      }
    }
  }

  absl::Status RunWorker(uint32_t rank) {
    while (true) {
      workers_[rank]->Start();
      const absl::Status result = RunEventLoop(
          *workers_[rank], worker_ends_[rank]->inbox, clock_, stop_);
      if (!workers_[rank]->goes_on()) return result;
      MakeWorker(rank);
    }
  }

  absl::Status AddServer(uint32_t shard) {
    auto end = std::make_unique<Endpoint>();
    TERSE_ASSIGN_OR_RETURN(end->link,
                           network_.MakeLink(ShardAddress(shard), end->inbox));
    server_ends_.push_back(std::move(end));
    servers_.emplace_back();
    MakeServer(shard, {.job = job_, .resume = options_.resume});
    return absl::OkStatus();
  }

  void MakeServer(uint32_t shard, const NextServer& next) {
    Endpoint& end = *server_ends_[shard];
    ServerOptions options;
    options.shard = shard;
    options.coordinator_address = ShardAddress(0);
    if (shard == 0) {
      options.job = next.job;
      options.resume = next.resume;
      options.rates = next.rates;
      options.on_event = options_.on_event;
      options.on_report = [this](const nlohmann::json& report) {
        report_ = report;
      };
      options.checkpoint_directory = options_.checkpoint_directory;
    }
    options.background = std::make_unique<ThreadBackground>(
        [&inbox = end.inbox] { inbox.Wake(); });
    servers_[shard].reset();
    servers_[shard] =
        std::make_unique<Server>(std::move(options), *end.link, clock_);
  }

  absl::Status AddWorker(uint32_t rank) {
    auto end = std::make_unique<Endpoint>();
    TERSE_ASSIGN_OR_RETURN(end->link, network_.MakeLink("", end->inbox));
    worker_ends_.push_back(std::move(end));
    workers_.emplace_back();
    MakeWorker(rank);
    return absl::OkStatus();
  }

  void MakeWorker(uint32_t rank) {
    SessionOptions options;
    options.coordinator_address = ShardAddress(0);
    options.rank = rank;
    options.handle_next_event = [this, rank] {
      HandleNextEvent(*workers_[rank], worker_ends_[rank]->inbox, clock_,
                      stop_);
    };
    options.handle_pending_event = [this, rank] {
      return HandlePendingEvent(*workers_[rank], worker_ends_[rank]->inbox);
    };
    options.measure_work = options_.measure_work;
    options.cores = std::thread::hardware_concurrency();
    workers_[rank].reset();
    workers_[rank] = std::make_unique<WorkerSession>(
        std::move(options),
        [this](const Job& job, const Plan& plan, uint32_t worker) {
          std::lock_guard lock(make_model_mutex_);
          return options_.make_model(job, plan, worker);
        },
        *worker_ends_[rank]->link, clock_);
  }

  void Record(const absl::Status& status) {
    std::lock_guard lock(error_mutex_);
    first_error_.Update(status);
  }

  const Job& job_;
  const LocalJobOptions& options_;
  const std::atomic<int> never_{0};
  const std::atomic<int>& stop_;
  const SystemClock clock_;
  MemoryNetwork network_;
  // Links deliver into inboxes and roles send through links: destroyed in
  // reverse, roles first.
  std::vector<std::unique_ptr<Endpoint>> server_ends_;
  std::vector<std::unique_ptr<Endpoint>> worker_ends_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<WorkerSession>> workers_;
  std::mutex make_model_mutex_;
  std::mutex error_mutex_;
  absl::Status first_error_;
  nlohmann::json report_;
};

}  // namespace

absl::StatusOr<nlohmann::json> RunLocalJob(const Job& job,
                                           const LocalJobOptions& options) {
  return LocalJob(job, options).Run();
}

}  // namespace terse
