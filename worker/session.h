// A worker's part of a job: joins, computes a gradient on every version of the
// weights, sends it, takes the next version, evaluates when it is time. A state
// machine driven by one thread, which feeds it what its link delivers.
#ifndef TERSE_WORKER_SESSION_H_
#define TERSE_WORKER_SESSION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/clock.h"
#include "common/plan/plan.h"
#include "common/plan/timeline.h"
#include "common/transport/link.h"
#include "proto/wire.pb.h"
#include "worker/awaited_blocks.h"
#include "worker/replica.h"
#include "worker/session_options.h"
#include "worker/uplink.h"

namespace terse {

class WorkerSession {
 public:
  // `link` and `clock` must outlive the session.
  WorkerSession(SessionOptions options, ModelFactory make_model, Link& link,
                const Clock& clock);

  // Starts joining.
  void Start();

  // The sink's events, one at a time; see FrameSink. Computes a step within the
  // call when the last block for it has come.
  void OnFrame(PeerId peer, Frame frame);
  void OnPeerLost(PeerId peer, const absl::Status& reason);
  // Deadlines; call it at least every second.
  void OnTime();

  // Ends the job for everybody with this reason.
  void Abort(const absl::Status& reason);

  // Ends the job for everybody after a checkpoint, if it keeps any.
  void Stop(int signal);

  // Whether the job has ended, well or not, and this process may.
  bool ended() const { return result_.has_value(); }
  bool finished() const { return ended() && peers_.empty(); }
  // Requires: ended().
  const absl::Status& result() const { return *result_; }
  // Whether the job has ended to go on at once, with another codec: join again.
  bool goes_on() const { return goes_on_; }

  std::optional<uint32_t> rank() const { return rank_; }
  // The network as it is now; null before the job is known.
  NetworkModel* model() { return model_.get(); }
  const Uplink* uplink() const { return uplink_.get(); }
  // Null before the job is known.
  const Plan* plan() const { return plan_.get(); }
  bool started() const { return started_; }

 private:
  struct ShardPeer {
    PeerId peer;
    std::string address;
    bool welcomed = false;
    bool away = false;  // It is being joined again.
    absl::Time away_since;
    std::vector<Frame> sent;  // Since `sent_version_` was complete.
  };

  absl::Status Dispatch(PeerId peer, const Frame& frame);
  absl::Status OnWelcome(PeerId peer, const Frame& frame);
  absl::Status AdoptJob(const wire::Welcome& welcome);
  absl::Status ReadyIfWelcomed();
  absl::Status OnStart(const Frame& frame);
  absl::Status TakeWeights(const Frame& frame);
  absl::Status OnWeights(const Frame& frame);
  absl::Status OnSum(const Frame& frame);
  absl::Status OnBasis(const Frame& frame);
  absl::Status OnMeasure(const Frame& frame);  // See session_codec.cc.
  LinkCounters Counters() const;               // Of this session.
  absl::Status OnBlockTaken();                 // Of the next version.
  absl::Status OnEvaluationBlock(const Frame& frame);
  absl::Status TakeEarlyBlocks();
  // Checkpoints; see session_checkpoints.cc.
  absl::Status OnCheckpoint(uint64_t version);
  absl::Status OnKept(const Frame& frame);
  absl::Status OnState(const Frame& frame);
  absl::Status SendKept(uint64_t version);
  void CheckDeadlines();
  absl::Status SendToShard(uint32_t shard, Frame frame);

  // Connections that break, jobs under way, steps that others close; see
  // session_rejoin.cc. Whether the session connects anew to a shard it loses:
  bool Returns() const;
  void Join(uint32_t shard, const std::string& address, bool returns);
  absl::Status OnShardBack(const Frame& frame);
  absl::Status OnReturned(uint32_t shard, const wire::Welcome& welcome);
  absl::Status BeginUnderWay();
  absl::Status AdoptStart(const wire::Start& start);
  // Ends this worker, and the job if that does not go on without it.
  void Leave(const absl::Status& reason);
  // Versions that may come before the one that is awaited is complete.
  uint64_t AheadMax() const;
  // Whether `frame` is to be handled now: not again, and not too early.
  bool IsDue(const BlockSet& set, const Frame& frame);
  void HandleEarlyFrames();
  // Whether others have closed the step that would come now.
  bool IsBehind();
  absl::Status SkipStep(uint64_t step);
  // Gradients that come too late go back into error feedback.
  void KeepForLate(const Frame& frame);
  absl::Status OnLate(const Frame& frame);
  // Nothing that was sent before `version` was complete is asked for again.
  void ForgetSent(uint64_t version);

  // What to do with the version that is complete: evaluate, compute, or end.
  absl::Status OnVersion();
  absl::Status PushBuffers(wire::FrameKind kind, uint64_t version);
  absl::Status EvaluateIfComplete();
  absl::Status RunEvaluation();
  absl::Status Proceed();
  // Whether the step on the version that is coming in may begin now.
  bool MayBeginEarly() const;
  absl::Status ComputeStep(uint64_t step);
  // Handles events until the values of `tensor` are in place.
  absl::Status AwaitTensor(uint32_t tensor);
  // Tells the shards how the step under way goes, before its gradients.
  absl::Status ReportStep(uint64_t step, const LossSums& sums);
  // Counts the time of `push`.
  absl::Status Encode(absl::FunctionRef<absl::Status()> push);
  absl::Status SayGoodbye();
  void FinishStepTimes();
  // Ends the job and tells all peers but `but`, who knows.
  void End(const absl::Status& result, std::optional<PeerId> but);

  const SessionOptions options_;
  const ModelFactory make_model_;
  Link& link_;
  const Clock& clock_;
  absl::Time join_deadline_;

  std::optional<uint32_t> rank_;
  std::optional<Job> job_;
  std::unique_ptr<Plan> plan_;
  std::unique_ptr<NetworkModel> model_;
  std::unique_ptr<Uplink> uplink_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<AwaitedBlocks> awaited_;
  Timeline timeline_;
  uint64_t first_version_ = 0;
  std::set<uint64_t> checkpoints_;    // Versions to be kept.
  uint64_t coordinator_version_ = 0;  // The last of which it sent a block.
  int stop_signal_ = 0;
  absl::Time stop_deadline_;
  bool started_ = false;
  bool evaluating_ = false;
  bool overlaps_ = false;   // The network awaits its tensors one by one.
  bool computing_ = false;  // Within ComputeStep.
  bool step_open_ = false;  // Its times are not finished.
  bool measuring_ = false;  // Within OnMeasure.
  bool goes_on_ = false;
  LinkCounters counters_before_;  // What the link carried before this session.
  uint64_t computed_step_ = 0;

  std::vector<ShardPeer> shards_;
  uint64_t sent_version_ = 0;             // The last that was complete.
  std::optional<wire::Start> under_way_;  // How a job that goes on was started.
  std::vector<Frame> early_frames_;       // Blocks of versions not awaited yet.
  bool handling_early_ = false;
  std::deque<Frame> may_be_late_;  // Gradients, in the order of their steps.
  std::vector<uint64_t> factor_steps_;  // By block: steps of factors sent.
  uint64_t last_cut_ = 0;               // Version + 1; 0: none.
  // In order, so that the simulator repeats what goes to all of them.
  std::map<PeerId, uint32_t> peers_;  // To shard.
  // What an evaluation puts in place of the values of its tensors; by tensor.
  std::map<uint32_t, std::vector<float>> evaluation_values_;
  std::vector<Frame> early_evaluation_;  // Of shards that have started sooner.

  wire::StepTimes times_;       // Of the step under way.
  wire::StepTimes last_times_;  // Of the step before.
  wire::StepTimes times_total_;
  StepRecord step_record_;  // Of the step under way.
  absl::Time step_started_;
  absl::Duration encode_;
  absl::Time pushed_;  // When the last gradient had been queued.
  uint64_t taken_before_push_ns_ = 0;  // Decoding and applying until then.
  std::vector<uint64_t> step_ns_;
  std::optional<absl::Status> result_;
};

}  // namespace terse

#endif  // TERSE_WORKER_SESSION_H_
