// TensorBoard's event file: records of a length, its checksum, the bytes of an
// Event and their checksum. Checksums are CRC-32C, masked: rotated right by 15
// bits plus 0xa282ead8 (TensorFlow, tsl/lib/io/record_writer).
#ifndef TERSE_COMMON_OBSERVE_EVENT_FILE_H_
#define TERSE_COMMON_OBSERVE_EVENT_FILE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "proto/tensorboard.pb.h"

namespace terse {

// One record, as it stands in the file.
std::string EventRecord(std::string_view event);

class EventFile {
 public:
  // Makes `directory`/events.out.tfevents.<now>.<host>.<pid>.0 with the event
  // that tells the version.
  // Errors: Unavailable (exit code 74).
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(
      const std::string& directory, absl::Time now);
  ~EventFile();

  // Writes what TensorBoard can show of one of the coordinator's events: curves
  // of progress and evaluations, histograms of observations. Readers see it at
  // once. A full disk loses events, not the job.
  void Write(const nlohmann::json& event, absl::Time now);

 private:
  explicit EventFile(std::FILE* file) : file_(file) {}
  void Append(const tensorboard::Event& event);

  std::FILE* const file_;
};

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_EVENT_FILE_H_
