#include "server/server_role.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/processor_time.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/kernels/target.h"
#include "common/transport/inbox.h"
#include "common/transport/joined_link.h"
#include "common/wire/event_loop.h"
#include "common/wire/resume.h"
#include "common/wire/role_link.h"
#include "common/wire/role_main.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

// Measures what a server handles.
auto MeasureFrames(RoleMetrics& metrics, const Link& link,
                   const Server& server) {
  return [&](uint32_t frame_type, absl::Duration handled) {
    std::optional<ShardProgress> progress;
    if (frame_type == wire::STEP) {
      const LinkCounters counters = link.Counters();
      progress = {.wire_bytes_up = counters.bytes_received,
                  .wire_bytes_down = counters.bytes_sent,
                  .version = server.Version(),
                  .workers_connected = server.WorkersConnected()};
    }
    metrics.OnFrame(handled, progress);
  };
}

// What a run keeps of its job: with every choice of a codec, and at its end
// such that the same job makes these choices and no others.
absl::Status KeepJob(const ServerRole& role, const Job& job, bool done) {
  if (role.run_dir.empty() || !IsAuto(job)) return absl::OkStatus();
  Job kept = job;
  if (done) {
    kept.mutable_compress()->mutable_auto_()->set_check_every_seconds(0);
  }
  return WriteFileAtomically(role.run_dir + "/job.yaml", PrintJob(kept));
}

class RoleRun {
 public:
  RoleRun(ServerRole role, const std::atomic<int>& stop)
      : role_(std::move(role)),
        stop_(stop),
        metrics_(
            role_.shard == 0 ? MetricsRole::kCoordinator : MetricsRole::kServer,
            TERSE_VERSION, KernelTargetName()) {}

  absl::Status Run() {
    const absl::Status result = Serve();
    if (http_ != nullptr && coordinator()) {
      link_.reset();  // The others need not wait.
      http_->AwaitScrape(absl::Seconds(role_.http.linger_seconds), stop_);
    }
    return result;
  }

 private:
  absl::Status Serve() {
    if (coordinator()) TERSE_RETURN_IF_ERROR(PrepareCoordinator());
    TERSE_ASSIGN_OR_RETURN(
        link_, MakeRoleLink(role_.transport, role_.listen, role_.security,
                            absl::Seconds(role_.peer_timeout_seconds), inbox_));
    if (role_.beside != nullptr) {
      TERSE_ASSIGN_OR_RETURN(std::unique_ptr<Link> inner,
                             role_.beside->MakeLink(kServerBeside, inbox_));
      link_ = std::make_unique<JoinedLink>(std::move(link_), std::move(inner),
                                           "", "");
    }
    spdlog::info("listening on {}, kernels for {}", link_->Address(),
                 KernelTargetName());
    if (!role_.port_file.empty()) {
      TERSE_RETURN_IF_ERROR(
          WriteFileAtomically(role_.port_file, link_->Address() + "\n"));
    }
    if (role_.listening) role_.listening(link_->Address());
    while (true) {
      Server server(Options(), *link_, clock_);
      if (!role_.http.listen.empty()) {
        server.MeasureFrames(MeasureFrames(metrics_, *link_, server));
      }
      TERSE_RETURN_IF_ERROR(server.Start());
      if (http_ == nullptr) {
        TERSE_ASSIGN_OR_RETURN(http_, StartRoleHttp(role_.http, role_.security,
                                                    metrics_, observer_.get()));
      }
      for (auto& [peer, frame] : std::exchange(next_.frames, {})) {
        server.OnFrame(peer, std::move(frame));
      }
      const absl::Status result = RunEventLoop(server, inbox_, clock_, stop_);
      if (!result.ok()) SayWhereToGoOn();
      TERSE_RETURN_IF_ERROR(result);
      if (!server.goes_on()) {
        if (!coordinator()) return absl::OkStatus();
        TERSE_RETURN_IF_ERROR(KeepJob(role_, *server.job(), /*done=*/true));
        return report_written_;
      }
      next_ = server.TakeNext();
      if (coordinator()) {
        TERSE_RETURN_IF_ERROR(KeepJob(role_, next_.job, /*done=*/false));
      }
    }
  }

  bool coordinator() const { return role_.shard == 0; }

  absl::Status PrepareCoordinator() {
    TERSE_ASSIGN_OR_RETURN(next_.job, ReadJobFile(role_.job, {}));
    role_.peer_timeout_seconds = next_.job.cluster().peer_timeout_seconds();
    if (!role_.run_dir.empty() || !role_.http.listen.empty()) {
      TERSE_ASSIGN_OR_RETURN(
          observer_, JobObserver::Create(next_.job, role_.run_dir,
                                         TERSE_VERSION, &metrics_, clock_));
    }
    if (role_.checkpoint_dir.empty() && !role_.run_dir.empty()) {
      role_.checkpoint_dir = role_.run_dir + "/checkpoints";
    }
    TERSE_ASSIGN_OR_RETURN(next_.resume,
                           ChooseResume(role_.resume, role_.checkpoint_dir));
    TERSE_ASSIGN_OR_RETURN(role_.checkpoint_dir,
                           CheckpointDirectory(role_.checkpoint_dir));
    return absl::OkStatus();
  }

  // By the time of the file that others have this server's address from, its
  // launcher sees that it does not hang.
  void ShowLife() {
    const absl::Time now = clock_.Now();
    if (now - life_shown_ < absl::Seconds(1)) return;
    life_shown_ = now;
    utimensat(AT_FDCWD, role_.port_file.c_str(), nullptr, 0);
  }

  // Launchers that know nothing of jobs end with this line.
  void SayWhereToGoOn() const {
    if (!coordinator() || role_.checkpoint_dir.empty()) return;
    std::vector<std::string> passed_over;
    const auto checkpoint = NewestCheckpoint(role_.checkpoint_dir, passed_over);
    if (!checkpoint) return;
    spdlog::info("the job can go on from step {}: --resume {}",
                 checkpoint->manifest.version, checkpoint->folder);
  }

  ServerOptions Options() {
    ServerOptions options;
    options.shard = role_.shard;
    options.coordinator_address = role_.coordinator;
    options.token = TokenFromEnvironment();
    options.incarnation = incarnation_;
    options.background =
        std::make_unique<ThreadBackground>([this] { inbox_.Wake(); });
    if (!role_.port_file.empty()) {
      options.on_time = [this] { ShowLife(); };
    }
    if (!coordinator()) return options;
    options.job = next_.job;
    options.resume = next_.resume;
    options.rates = next_.rates;
    options.processor_seconds = ProcessorSeconds;
    options.checkpoint_directory = role_.checkpoint_dir;
    options.on_report = [this](const nlohmann::json& report) {
      report_written_ = WriteReport(report, role_.run_dir, role_.report);
    };
    if (observer_ != nullptr) {
      options.on_event = [this](const nlohmann::json& event) {
        observer_->OnEvent(event);
      };
    }
    return options;
  }

  ServerRole role_;
  const std::atomic<int>& stop_;
  const SystemClock clock_;
  const uint64_t incarnation_ = NewIncarnation();
  absl::Time life_shown_;
  RoleMetrics metrics_;
  std::unique_ptr<JobObserver> observer_;
  Inbox inbox_{2 * kOutboxBytesMax};
  std::unique_ptr<Link> link_;
  std::unique_ptr<HttpServer> http_;
  NextServer next_;
  absl::Status report_written_;
};

}  // namespace

absl::Status CheckAddresses(const ServerRole& role) {
  if (role.transport != "grpc") return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckSecurity(role.security, role.listen));
  if (role.coordinator.empty()) return absl::OkStatus();
  return CheckSecurity(role.security, role.coordinator);
}

absl::Status RunServerRole(ServerRole role, const std::atomic<int>& stop) {
  return RoleRun(std::move(role), stop).Run();
}

}  // namespace terse
