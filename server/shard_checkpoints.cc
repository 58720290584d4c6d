#include "server/shard_checkpoints.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {
namespace {

// Copies of a shard's state: of the checkpoint that is under way, one that was
// demanded meanwhile and the last one.
constexpr size_t kCutsMax = 3;

// A worker's frames as named pieces.
std::vector<SavedTensor> KeptTensors(const Plan& plan,
                                     const std::map<uint32_t, Buffer>& kept) {
  std::vector<SavedTensor> tensors;
  for (const auto& [block, payload] : kept) {
    const size_t count = plan.blocks[block].count;
    std::vector<float> values(count);
    const std::byte* source = payload.bytes().data();
    for (const std::string_view kind : KeptKinds(plan, block)) {
      std::memcpy(values.data(), source, count * sizeof(float));
      source += count * sizeof(float);
      tensors.push_back(MakePiece(kind, plan, block, values));
    }
  }
  return tensors;
}

}  // namespace

ShardCheckpoints::ShardCheckpoints(const Plan& plan, uint32_t shard,
                                   uint32_t servers, std::string directory,
                                   Background& background, Report report)
    : plan_(plan),
      shard_(shard),
      servers_(servers),
      directory_(std::move(directory)),
      background_(background),
      report_(std::move(report)),
      present_(plan.workers, true) {
  for (uint32_t b = 0; b < plan.blocks.size(); ++b) {
    kept_blocks_ +=
        plan.blocks[b].shard == shard && !KeptKinds(plan, b).empty();
  }
}

absl::StatusOr<ShardCheckpoints::Cut*> ShardCheckpoints::CutOf(
    uint64_t version, uint64_t current, const BlockStore& store) {
  if (any_written_ && version <= written_) return nullptr;
  const auto found = cuts_.find(version);
  if (found != cuts_.end()) return &found->second;
  if (version != current) {
    return absl::InvalidArgumentError(
        absl::StrCat("a checkpoint of version ", version,
                     " begins while this shard is at ", current));
  }
  // An abandoned one makes place: a worker cannot have any number of them kept.
  if (cuts_.size() == kCutsMax) {
    any_written_ = true;
    written_ = cuts_.begin()->first;
    cuts_.erase(cuts_.begin());
  }
  Cut& cut = cuts_[version];
  cut.state = store.Save();
  cut.kept.resize(plan_.workers);
  cut.awaited = present_;
  cut.ended.resize(plan_.workers);
  return &cut;
}

absl::Status ShardCheckpoints::OnKept(uint32_t worker, uint64_t version,
                                      uint64_t current, uint32_t block,
                                      Buffer payload, const BlockStore& store) {
  const size_t bytes = KeptKinds(plan_, block).size() *
                       plan_.blocks[block].count * sizeof(float);
  if (bytes == 0 || payload.size() != bytes) {
    return absl::DataLossError(absl::StrCat("what a worker keeps of block ",
                                            block, " has ", payload.size(),
                                            " bytes in place of ", bytes));
  }
  TERSE_ASSIGN_OR_RETURN(Cut* const cut, CutOf(version, current, store));
  if (cut != nullptr) {
    cut->kept[worker].try_emplace(block, std::move(payload));
  }
  return absl::OkStatus();
}

absl::Status ShardCheckpoints::OnCut(uint32_t worker, uint64_t version,
                                     uint64_t current,
                                     const BlockStore& store) {
  TERSE_ASSIGN_OR_RETURN(Cut* const cut, CutOf(version, current, store));
  if (cut == nullptr || cut->ended[worker]) return absl::OkStatus();
  if (cut->kept[worker].size() != kept_blocks_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a checkpoint of version ", version, " with ", cut->kept[worker].size(),
        " of ", kept_blocks_, " blocks that the worker keeps"));
  }
  cut->ended[worker] = true;
  WriteIfComplete(version);
  return absl::OkStatus();
}

void ShardCheckpoints::Leave(uint32_t worker) {
  present_[worker] = false;
  std::vector<uint64_t> versions;
  for (auto& [version, cut] : cuts_) {
    cut.awaited[worker] = false;
    versions.push_back(version);
  }
  for (const uint64_t version : versions) {
    if (cuts_.contains(version)) WriteIfComplete(version);
  }
}

void ShardCheckpoints::WriteIfComplete(uint64_t version) {
  Cut& cut = cuts_.at(version);
  bool any = false;
  for (uint32_t w = 0; w < cut.ended.size(); ++w) {
    if (cut.awaited[w] && !cut.ended[w]) return;
    any = any || cut.ended[w];
  }
  if (!any) return;
  FillIn(cut);
  Cut complete = std::move(cut);
  // What a lost step left behind goes with it.
  cuts_.erase(cuts_.begin(), cuts_.upper_bound(version));
  written_ = version;
  any_written_ = true;
  Write(version, std::move(complete));
}

void ShardCheckpoints::FillIn(Cut& cut) const {
  const size_t there =
      std::find(cut.ended.begin(), cut.ended.end(), true) - cut.ended.begin();
  for (uint32_t w = 0; w < cut.ended.size(); ++w) {
    if (cut.ended[w]) continue;
    cut.kept[w].clear();
    for (const auto& [block, payload] : cut.kept[there]) {
      if (plan_.IsBuffer(plan_.blocks[block].tensor)) {
        cut.kept[w][block] = payload;
        continue;
      }
      Buffer zeros = Buffer::Allocate(payload.size());
      std::memset(zeros.mutable_bytes().data(), 0, payload.size());
      cut.kept[w][block] = std::move(zeros);
    }
  }
}

void ShardCheckpoints::Write(uint64_t version, Cut complete) {
  const auto cut = std::make_shared<Cut>(std::move(complete));
  const auto message = std::make_shared<wire::Checkpointed>();
  const std::string folder =
      absl::StrCat(directory_, "/", CheckpointFolderName(version));
  auto work = [cut, message, folder, version, &plan = plan_, shard = shard_,
               servers = servers_]() -> absl::Status {
    const std::map<std::string, std::string> metadata = {
        {"step", absl::StrCat(version)}};
    const auto write =
        [&](const std::string& name,
            const std::vector<SavedTensor>& tensors) -> absl::Status {
      TERSE_RETURN_IF_ERROR(
          WriteTensors(folder + "/" + name, tensors, metadata));
      TERSE_ASSIGN_OR_RETURN(const CheckpointFile file,
                             DescribeFile(folder, name));
      wire::Checkpointed::File& listed = *message->add_files();
      listed.set_name(file.name);
      listed.set_bytes(file.bytes);
      listed.set_crc32c(file.crc32c);
      return absl::OkStatus();
    };
    TERSE_RETURN_IF_ERROR(MakeFolder(folder));
    TERSE_RETURN_IF_ERROR(write(ShardFileName(shard, servers), cut->state));
    for (uint32_t w = 0; w < cut->kept.size(); ++w) {
      if (cut->kept[w].empty()) continue;
      TERSE_RETURN_IF_ERROR(
          write(WorkerFileName(w, plan.workers, shard, servers),
                KeptTensors(plan, cut->kept[w])));
    }
    return absl::OkStatus();
  };
  background_.Run(std::move(work),
                  [this, version, message](const absl::Status& status) {
                    if (!status.ok()) {
                      message->set_error(std::string(status.message()));
                    }
                    report_(version, *message);
                  });
}

}  // namespace terse
