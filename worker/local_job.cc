#include "worker/local_job.h"

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
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
    for (uint32_t s = 0; s < job_.cluster().servers(); ++s) {
      TERSE_RETURN_IF_ERROR(AddServer(s));
    }
    for (uint32_t w = 0; w < job_.cluster().workers(); ++w) {
      TERSE_RETURN_IF_ERROR(AddWorker(w));
    }
    for (std::unique_ptr<Server>& server : servers_) {
      TERSE_RETURN_IF_ERROR(server->Start());
    }
    std::vector<std::thread> threads;
    for (size_t s = 0; s < servers_.size(); ++s) {
      threads.emplace_back([this, s] {
        Record(
            RunEventLoop(*servers_[s], server_ends_[s]->inbox, clock_, stop_));
      });
    }
    for (size_t w = 0; w < workers_.size(); ++w) {
      threads.emplace_back([this, w] {
        workers_[w]->Start();
        Record(
            RunEventLoop(*workers_[w], worker_ends_[w]->inbox, clock_, stop_));
      });
    }
    for (std::thread& thread : threads) thread.join();
    TERSE_RETURN_IF_ERROR(first_error_);
    return servers_[0]->report();
  }

 private:
  absl::Status AddServer(uint32_t shard) {
    auto end = std::make_unique<Endpoint>();
    TERSE_ASSIGN_OR_RETURN(end->link,
                           network_.MakeLink(ShardAddress(shard), end->inbox));
    ServerOptions options;
    options.shard = shard;
    if (shard == 0) options.job = job_;
    options.coordinator_address = ShardAddress(0);
    if (shard == 0) {
      options.on_event = options_.on_event;
      options.checkpoint_directory = options_.checkpoint_directory;
      options.resume = options_.resume;
    }
    options.background = std::make_unique<ThreadBackground>(
        [&inbox = end->inbox] { inbox.Wake(); });
    servers_.push_back(
        std::make_unique<Server>(std::move(options), *end->link, clock_));
    server_ends_.push_back(std::move(end));
    return absl::OkStatus();
  }

  absl::Status AddWorker(uint32_t rank) {
    auto end = std::make_unique<Endpoint>();
    TERSE_ASSIGN_OR_RETURN(end->link, network_.MakeLink("", end->inbox));
    SessionOptions options;
    options.coordinator_address = ShardAddress(0);
    options.rank = rank;
    options.handle_next_event = [this, rank] {
      HandleNextEvent(*workers_[rank], worker_ends_[rank]->inbox, clock_,
                      stop_);
    };
    workers_.push_back(std::make_unique<WorkerSession>(
        std::move(options),
        [this](const Job& job, const Plan& plan, uint32_t worker) {
          std::lock_guard lock(make_model_mutex_);
          return options_.make_model(job, plan, worker);
        },
        *end->link, clock_));
    worker_ends_.push_back(std::move(end));
    return absl::OkStatus();
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
};

}  // namespace

absl::StatusOr<nlohmann::json> RunLocalJob(const Job& job,
                                           const LocalJobOptions& options) {
  return LocalJob(job, options).Run();
}

}  // namespace terse
