#include "common/checkpoint/saved_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/config/job.h"

namespace terse {
namespace {

absl::Status Damaged(const std::string& source, const std::string& what) {
  return WithExitCode(absl::DataLossError(absl::StrCat(source, ": ", what)),
                      ExitCode::kBadData);
}

// The worker in a file's name; nothing for a shard's file.
std::optional<uint32_t> WorkerOf(const std::string& name) {
  unsigned worker = 0;
  if (std::sscanf(name.c_str(), "worker-%u-of-", &worker) != 1) {
    return std::nullopt;
  }
  return worker;
}

}  // namespace

std::string PieceName(std::string_view kind, const Plan& plan, uint32_t block) {
  const BlockSpec& spec = plan.blocks[block];
  return absl::StrCat(ToAbsl(kind), "/", plan.model.tensors[spec.tensor].name,
                      "/", spec.first_index);
}

std::vector<uint64_t> PieceShape(const Plan& plan, uint32_t block) {
  const BlockSpec& spec = plan.blocks[block];
  const Shape& shape = plan.model.tensors[spec.tensor].shape;
  if (plan.tensors[spec.tensor].block_count == 1) return shape;
  const uint64_t row = shape.empty() ? 1 : ElementCount(shape) / shape[0];
  if (spec.count % row != 0) return {spec.count};
  std::vector<uint64_t> piece(shape.begin(), shape.end());
  piece[0] = spec.count / row;
  return piece;
}

SavedTensor MakePiece(std::string_view kind, const Plan& plan, uint32_t block,
                      std::span<const float> values) {
  return {.name = PieceName(kind, plan, block),
          .shape = PieceShape(plan, block),
          .values = {values.begin(), values.end()}};
}

std::vector<std::string_view> KeptKinds(const Plan& plan, uint32_t block) {
  const uint32_t tensor = plan.blocks[block].tensor;
  if (plan.IsBuffer(tensor)) return {"buffer"};
  std::vector<std::string_view> kinds;
  const FeedbackOptions& feedback = plan.tensors[tensor].feedback;
  if (feedback.error_feedback) kinds.push_back("residual");
  if (feedback.momentum > 0) kinds.push_back("momentum");
  return kinds;
}

std::string ShardFileName(uint32_t shard, uint32_t servers) {
  return absl::StrFormat("shard-%05d-of-%05d.safetensors", shard, servers);
}

std::string WorkerFileName(uint32_t worker, uint32_t workers, uint32_t shard,
                           uint32_t servers) {
  return absl::StrFormat("worker-%05d-of-%05d.%s", worker, workers,
                         ShardFileName(shard, servers));
}

absl::Status WriteTensors(const std::string& path,
                          std::span<const SavedTensor> tensors,
                          const std::map<std::string, std::string>& metadata) {
  std::vector<TensorView> views;
  views.reserve(tensors.size());
  for (const SavedTensor& tensor : tensors) {
    views.push_back(FloatTensor(tensor.name, tensor.shape, tensor.values));
  }
  return WriteSafetensors(path, views, metadata);
}

absl::StatusOr<SavedState> SavedState::Open(const FoundCheckpoint& checkpoint,
                                            std::optional<uint32_t> shard) {
  SavedState state;
  state.folder_ = checkpoint.folder;
  state.manifest_ = checkpoint.manifest;
  state.worker_names_.resize(checkpoint.manifest.workers);
  for (const CheckpointFile& file : checkpoint.manifest.files) {
    if (shard && !file.name.ends_with(
                     ShardFileName(*shard, checkpoint.manifest.servers))) {
      continue;
    }
    TERSE_ASSIGN_OR_RETURN(
        SafetensorsFile read,
        SafetensorsFile::Read(absl::StrCat(checkpoint.folder, "/", file.name)));
    state.files_.push_back(std::make_unique<SafetensorsFile>(std::move(read)));
    const std::optional<uint32_t> worker = WorkerOf(file.name);
    if (worker && *worker >= checkpoint.manifest.workers) {
      return Damaged(checkpoint.folder,
                     absl::StrCat("has a file of worker ", *worker));
    }
    auto& names = worker ? state.worker_names_[*worker] : state.shard_names_;
    for (const auto& [name, entry] : state.files_.back()->tensors()) {
      names.emplace(name, state.files_.back().get());
    }
  }
  return state;
}

absl::Status SavedState::ReadFrom(const Names& names, const std::string& name,
                                  std::span<float> target) const {
  const auto found = names.find(name);
  if (found == names.end()) {
    return Damaged(folder_, absl::StrCat("no tensor ", name));
  }
  TERSE_ASSIGN_OR_RETURN(const auto values,
                         found->second->Floats(name, target.size()));
  std::copy(values.begin(), values.end(), target.begin());
  return absl::OkStatus();
}

absl::Status SavedState::Read(const std::string& name,
                              std::span<float> target) const {
  return ReadFrom(shard_names_, name, target);
}

absl::Status SavedState::ReadWorker(uint32_t worker, const std::string& name,
                                    std::span<float> target) const {
  TERSE_CHECK(worker < worker_names_.size());
  return Annotate(ReadFrom(worker_names_[worker], name, target),
                  absl::StrCat("worker ", worker));
}

absl::Status SavedState::ReadPiece(const Names& names, std::string_view kind,
                                   const Plan& plan, uint32_t block,
                                   std::span<float> target) const {
  const std::string name = PieceName(kind, plan, block);
  const uint64_t first = plan.blocks[block].first_index;
  const auto whole = names.find(name);
  if (whole != names.end() && whole->second->Floats(name, target.size()).ok()) {
    return ReadFrom(names, name, target);
  }
  const std::string prefix = name.substr(0, name.rfind('/') + 1);
  size_t copied = 0;
  for (auto piece = names.lower_bound(prefix);
       piece != names.end() && piece->first.starts_with(prefix); ++piece) {
    uint64_t begin = 0;
    if (!absl::SimpleAtoi(piece->first.substr(prefix.size()), &begin)) continue;
    const SafetensorsFile& file = *piece->second;
    const size_t count =
        file.tensors().at(piece->first).bytes.size() / sizeof(float);
    const uint64_t from = std::max(first, begin);
    const uint64_t to = std::min(first + target.size(), begin + count);
    if (from >= to) continue;
    TERSE_ASSIGN_OR_RETURN(const auto values, file.Floats(piece->first, count));
    std::copy_n(values.begin() + static_cast<ptrdiff_t>(from - begin),
                to - from,
                target.begin() + static_cast<ptrdiff_t>(from - first));
    copied += to - from;
  }
  if (copied == target.size()) return absl::OkStatus();
  return Damaged(folder_, absl::StrCat("no tensor ", name));
}

absl::Status SavedState::ReadTensor(std::string_view kind, const Plan& plan,
                                    uint32_t tensor,
                                    std::span<float> target) const {
  const TensorPlan& of = plan.tensors[tensor];
  for (uint32_t b = of.first_block; b < of.first_block + of.block_count; ++b) {
    const BlockSpec& spec = plan.blocks[b];
    TERSE_RETURN_IF_ERROR(
        ReadBlock(kind, plan, b, target.subspan(spec.first_index, spec.count)));
  }
  return absl::OkStatus();
}

absl::Status SavedState::ReadWorkerPiece(uint32_t worker, std::string_view kind,
                                         const Plan& plan, uint32_t block,
                                         std::span<float> target) const {
  TERSE_CHECK(worker < worker_names_.size());
  const Names& names = worker_names_[worker];
  const std::string name = PieceName(kind, plan, block);
  const std::string prefix = name.substr(0, name.rfind('/') + 1);
  const auto any = names.lower_bound(prefix);
  const bool none = any == names.end() || !any->first.starts_with(prefix);
  if (none && plan.codec_since > 0 && plan.codec_since == manifest_.version) {
    std::fill(target.begin(), target.end(), 0.0f);
    return absl::OkStatus();
  }
  return Annotate(ReadPiece(names, kind, plan, block, target),
                  absl::StrCat("worker ", worker));
}

absl::Status SavedState::ReadKept(uint32_t worker, std::string_view kind,
                                  const Plan& plan, uint32_t block,
                                  std::span<float> target) const {
  if (manifest_.workers == plan.workers) {
    return ReadWorkerPiece(worker, kind, plan, block, target);
  }
  const bool buffer = plan.IsBuffer(plan.blocks[block].tensor);
  std::fill(target.begin(), target.end(), 0.0f);
  std::vector<float> part(target.size());
  for (uint32_t w = 0; w < manifest_.workers; ++w) {
    if (!buffer && w % plan.workers != worker) continue;
    TERSE_RETURN_IF_ERROR(ReadWorkerPiece(w, kind, plan, block, part));
    for (size_t i = 0; i < part.size(); ++i) target[i] += part[i];
  }
  if (!buffer) return absl::OkStatus();
  for (float& value : target) value /= static_cast<float>(manifest_.workers);
  return absl::OkStatus();
}

namespace {

// The job without what may differ.
Job EssenceOf(Job job) {
  job.clear_name();
  job.clear_checkpoint();
  const Cluster::Mode mode = job.cluster().mode();
  const uint32_t staleness = job.cluster().staleness_steps_max();
  job.clear_cluster();
  job.mutable_cluster()->set_mode(mode);
  if (mode == Cluster::SSP) {
    job.mutable_cluster()->set_staleness_steps_max(staleness);
  }
  Train& train = *job.mutable_train();
  train.clear_epochs();
  train.clear_evaluate_every_epochs();
  train.set_steps(1);
  job.mutable_data()->clear_directory();
  // A checkpoint knows what has been chosen.
  job.mutable_compress()->clear_auto_();
  return job;
}

}  // namespace

absl::Status CheckSameJob(const Job& job, const FoundCheckpoint& checkpoint) {
  TERSE_ASSIGN_OR_RETURN(const Job saved,
                         ParseJob(checkpoint.manifest.job_yaml,
                                  checkpoint.folder + "/manifest.json", {}));
  const std::string ours = PrintJob(EssenceOf(job));
  const std::string theirs = PrintJob(EssenceOf(saved));
  if (ours == theirs) return absl::OkStatus();
  const std::vector<std::string> a = absl::StrSplit(ours, '\n');
  const std::vector<std::string> b = absl::StrSplit(theirs, '\n');
  size_t i = 0;
  while (i + 1 < a.size() && i + 1 < b.size() && a[i] == b[i]) ++i;
  const auto stripped = [](const std::string& line) {
    return std::string(absl::StripLeadingAsciiWhitespace(line));
  };
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(
          checkpoint.folder, " is of another job: it has \"", stripped(b[i]),
          "\" where this one has \"", stripped(a[i]), "\"")),
      ExitCode::kBadJob);
}

}  // namespace terse
