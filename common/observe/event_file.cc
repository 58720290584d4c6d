#include "common/observe/event_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/status.h"

namespace terse {
namespace {

using nlohmann::json;
using tensorboard::Event;
using tensorboard::Summary;

uint32_t MaskedCrc(std::string_view bytes) {
  const uint32_t crc =
      Crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())));
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <typename Integer>
void AppendLittleEndian(Integer value, std::string& target) {
  for (size_t i = 0; i < sizeof(Integer); ++i) {
    target += static_cast<char>(value >> (8 * i) & 0xff);
  }
}

void AddScalar(const std::string& tag, const json& object, const char* key,
               Summary& summary) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return;
  Summary::Value& value = *summary.add_value();
  value.set_tag(tag);
  value.set_simple_value(found->get<float>());
}

void AddHistogram(const std::string& tag, const json& object, const char* key,
                  Summary& summary) {
  const auto found = object.find(key);
  if (found == object.end()) return;
  const json& counts = found->at("counts");
  const double min = found->at("min");
  const double max = found->at("max");
  Summary::Value& value = *summary.add_value();
  value.set_tag(tag);
  tensorboard::HistogramProto& histogram = *value.mutable_histo();
  double num = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double count = counts[i];
    const double share = static_cast<double>(i + 1) / counts.size();
    num += count;
    histogram.add_bucket(count);
    histogram.add_bucket_limit(min + share * (max - min));
  }
  histogram.set_min(min);
  histogram.set_max(max);
  histogram.set_num(num);
  histogram.set_sum(found->at("sum"));
  histogram.set_sum_squares(found->at("sum_squares"));
}

void AddProgress(const json& event, Summary& summary) {
  AddScalar("train/loss", event, "train_loss", summary);
  AddScalar("train/accuracy", event, "train_accuracy", summary);
  AddScalar("train/learning_rate", event, "learning_rate", summary);
  AddScalar("train/residual_norm_ratio", event, "residual_norm_ratio", summary);
  AddScalar("wire/bits_per_element_up", event, "bits_per_element_up", summary);
  AddScalar("wire/bits_per_element_down", event, "bits_per_element_down",
            summary);
  AddScalar("speed/steps_per_second", event, "steps_per_second", summary);
  const auto times = event.find("time_ms");
  if (times == event.end()) return;
  for (const auto& [part, unused] : times->items()) {
    AddScalar("time_ms/" + part, *times, part.c_str(), summary);
  }
}

void AddObservation(const json& event, Summary& summary) {
  for (const json& tensor : event.at("tensors")) {
    const std::string name = tensor.at("name");
    for (const char* kind :
         {"gradient", "sent", "residual", "weights", "shadow_weights"}) {
      AddHistogram(absl::StrCat(kind, "/", name), tensor, kind, summary);
    }
    AddScalar("bits_per_element/" + name, tensor, "bits_per_element", summary);
    AddScalar("entropy_bits/" + name, tensor, "entropy_bits", summary);
  }
}

}  // namespace

std::string EventRecord(std::string_view event) {
  std::string record;
  AppendLittleEndian<uint64_t>(event.size(), record);
  AppendLittleEndian(MaskedCrc(record), record);
  record += event;
  AppendLittleEndian(MaskedCrc(event), record);
  return record;
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(
    const std::string& directory, absl::Time now) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  std::array<char, 256> host = {};
  gethostname(host.data(), host.size() - 1);
  const std::string path =
      absl::StrCat(directory, "/events.out.tfevents.", absl::ToUnixSeconds(now),
                   ".", host.data(), ".", getpid(), ".0");
  std::FILE* file = std::fopen(path.c_str(), "abe");
  if (file == nullptr) {
    return WithExitCode(absl::UnavailableError(absl::StrCat(
                            "cannot write ", path, ": ", strerror(errno))),
                        ExitCode::kDisk);
  }
  std::unique_ptr<EventFile> result(new EventFile(file));
  Event version;
  version.set_wall_time(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
  version.set_file_version("brain.Event:2");
  result->Append(version);
  return result;
}

EventFile::~EventFile() { std::fclose(file_); }

void EventFile::Append(const Event& event) {
  const std::string record = EventRecord(event.SerializeAsString());
  std::fwrite(record.data(), 1, record.size(), file_);
  std::fflush(file_);
}

void EventFile::Write(const json& event, absl::Time now) {
  const std::string kind = event.value("event", "");
  Event written;
  Summary& summary = *written.mutable_summary();
  if (kind == "progress") AddProgress(event, summary);
  if (kind == "observation") AddObservation(event, summary);
  if (kind == "evaluation") {
    AddScalar("test/loss", event, "test_loss", summary);
    AddScalar("test/accuracy", event, "test_accuracy", summary);
  }
  if (summary.value_size() == 0) return;
  written.set_wall_time(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
  written.set_step(event.value("step", int64_t{0}));
  Append(written);
}

}  // namespace terse
