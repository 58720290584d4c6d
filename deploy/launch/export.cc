#include "deploy/launch/export.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/checkpoint/network_weights.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "deploy/launch/describe.h"
#include "deploy/launch/roles.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

absl::StatusOr<FoundCheckpoint> Find(const std::string& path) {
  std::vector<std::string> passed_over;
  absl::StatusOr<FoundCheckpoint> found = FindCheckpoint(path, passed_over);
  if (!found.ok()) return found;
  for (const std::string& line : passed_over) {
    absl::FPrintF(stderr, "terse: passed over a checkpoint: %s\n", line);
  }
  return found;
}

absl::StatusOr<Job> JobOf(const FoundCheckpoint& checkpoint) {
  return ParseJob(checkpoint.manifest.job_yaml,
                  checkpoint.folder + "/manifest.json", {});
}

// The tensors of an export, with their memory.
class Export {
 public:
  explicit Export(const FoundCheckpoint& checkpoint)
      : metadata_({{"terse_export", "1"},
                   {"step", absl::StrCat(checkpoint.manifest.version)},
                   {"job", checkpoint.manifest.job_yaml}}) {}

  void AddFloats(const std::string& name, const Shape& shape,
                 std::vector<float> values) {
    floats_.push_back(std::move(values));
    Add(name, Dtype::kF32, shape,
        std::as_bytes(std::span<const float>(floats_.back())));
  }

  void AddPacked(const std::string& name, const Shape& shape,
                 const std::string& quantizer, PackedValues packed) {
    metadata_["packed." + name] = nlohmann::json{
        {"bits", packed.bits},
        {"groups", packed.groups},
        {"shape", shape},
        {"quantizer", quantizer}}.dump();
    AddFloats(name + ".tables", {packed.groups, uint64_t{1} << packed.bits},
              std::move(packed.tables));
    codes_.push_back(std::move(packed.codes));
    Add(name + ".codes", Dtype::kU8, {codes_.back().size()},
        std::as_bytes(std::span<const uint8_t>(codes_.back())));
  }

  absl::Status Write(const std::string& path) const {
    return WriteSafetensors(path, views_, metadata_);
  }

 private:
  void Add(std::string name, Dtype dtype, Shape shape,
           std::span<const std::byte> bytes) {
    views_.push_back({.name = std::move(name),
                      .dtype = dtype,
                      .shape = std::move(shape),
                      .bytes = bytes});
  }

  std::map<std::string, std::string> metadata_;
  std::list<std::vector<float>> floats_;
  std::list<std::vector<uint8_t>> codes_;
  std::vector<TensorView> views_;
};

int Say(const absl::Status& status) {
  if (!status.ok()) absl::FPrintF(stderr, "terse: %s\n", status.message());
  return int(ExitCodeOf(status));
}

absl::Status BecomeEvaluator(const EvalOptions& options) {
  // What is wrong with the checkpoint is said here, in a word.
  TERSE_ASSIGN_OR_RETURN(const FoundCheckpoint checkpoint, Find(options.path));
  TERSE_ASSIGN_OR_RETURN(const Job job, JobOf(checkpoint));
  TERSE_ASSIGN_OR_RETURN(const std::string binaries, FindBinaries());
  std::vector<std::string> arguments = {binaries + "/terse-worker",
                                        "--evaluate", checkpoint.folder};
  if (!options.data_directory.empty()) {
    arguments.insert(arguments.end(), {"--data-dir", options.data_directory});
  }
  if (options.json) arguments.push_back("--json");
  for (const auto& [name, value] : WorkerEnvironment(job)) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  return absl::InternalError(absl::StrCat("cannot execute ", arguments[0], ": ",
                                          std::strerror(errno)));
}

}  // namespace

void AddExport(CLI::App& app, ExportOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "export", "Writes the network of a checkpoint as one safetensors file");
  command.add_option("checkpoint", options.path, "A checkpoint or a run")
      ->required()
      ->type_name("CHECKPOINT");
  command.add_option("output", options.output, "The file to write")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--format", options.format,
                  "packed: quantized weights as codes and tables; fp32: what "
                  "they stand for; shadow: the servers' full-precision weights")
      ->check(CLI::IsMember({"packed", "fp32", "shadow"}))
      ->capture_default_str();
}

void AddEval(CLI::App& app, EvalOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "eval", "Tests the network of a checkpoint on the test set");
  command.add_option("checkpoint", options.path, "A checkpoint or a run")
      ->required()
      ->type_name("CHECKPOINT");
  command
      .add_option("--data-dir", options.data_directory,
                  "Where the data files lie")
      ->type_name("DIR");
  command.add_flag("--json", options.json, "JSON in place of text");
}

absl::Status ExportCheckpoint(const ExportOptions& options) {
  TERSE_ASSIGN_OR_RETURN(const FoundCheckpoint checkpoint, Find(options.path));
  TERSE_ASSIGN_OR_RETURN(const Job job, JobOf(checkpoint));
  TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(job));
  TERSE_ASSIGN_OR_RETURN(const SavedState saved, SavedState::Open(checkpoint));
  Export result(checkpoint);
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const TensorSpec& tensor = plan.model.tensors[t];
    const bool shadow = options.format == "shadow" && !plan.IsBuffer(t);
    std::vector<float> values(ElementCount(tensor.shape));
    if (shadow) {
      TERSE_RETURN_IF_ERROR(saved.ReadTensor("weights", plan, t, values));
    } else {
      TERSE_ASSIGN_OR_RETURN(values, NetworkWeights(job, plan, saved, t));
    }
    const WeightQuantizer* quantizer = plan.tensors[t].quantizer.get();
    if (options.format == "packed" && quantizer != nullptr) {
      PackedValues packed =
          PackValues(values, tensor.shape.empty() ? 1 : tensor.shape[0]);
      if (packed.bits > 0) {
        result.AddPacked(tensor.name, tensor.shape, quantizer->Describe(),
                         std::move(packed));
        continue;
      }
    }
    result.AddFloats(tensor.name, tensor.shape, std::move(values));
  }
  return result.Write(options.output);
}

absl::StatusOr<std::string> DescribeCheckpoint(const std::string& path) {
  TERSE_ASSIGN_OR_RETURN(const FoundCheckpoint checkpoint, Find(path));
  const CheckpointManifest& manifest = checkpoint.manifest;
  uint64_t bytes = 0;
  for (const CheckpointFile& file : manifest.files) bytes += file.bytes;
  std::string text = absl::StrFormat(
      "%s: step %d, of %d servers and %d workers, %.1f MB in %d files, whole\n",
      checkpoint.folder, manifest.version, manifest.servers, manifest.workers,
      bytes / 1e6, manifest.files.size());
  if (manifest.test_accuracy) {
    absl::StrAppendFormat(&text, "test accuracy %.2f %%\n",
                          100 * *manifest.test_accuracy);
  }
  return text;
}

bool IsCheckpointPath(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

int RunExport(const ExportOptions& options) {
  return Say(ExportCheckpoint(options));
}

int RunEval(const EvalOptions& options) {
  return Say(BecomeEvaluator(options));
}

}  // namespace terse
