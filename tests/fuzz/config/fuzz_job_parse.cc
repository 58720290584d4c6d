// Whatever bytes come, the job reader either refuses them with one line of exit
// code 78 that names its source, or gives a job that prints and reads back
// equal. Bytes of 1 part the job file and its overrides.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "google/protobuf/util/message_differencer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A null view has no parts at all, an empty text has one.
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> overrides = absl::StrSplit(text, '\1');
  const std::string yaml = overrides.front();
  overrides.erase(overrides.begin());
  const absl::StatusOr<terse::Job> job =
      terse::ParseJob(yaml, "job.yaml", overrides);
  if (!job.ok()) {
    const std::string message(job.status().message());
    TERSE_CHECK(terse::ExitCodeOf(job.status()) == terse::ExitCode::kBadJob);
    TERSE_CHECK(message.find('\n') == message.npos);
    TERSE_CHECK(message.rfind("job.yaml:", 0) == 0 ||
                message.rfind("--set ", 0) == 0);
    return 0;
  }
  const std::string printed = terse::PrintJob(*job);
  const absl::StatusOr<terse::Job> read = terse::ParseJob(printed, "again", {});
  TERSE_CHECK(read.ok());
  TERSE_CHECK(google::protobuf::util::MessageDifferencer::Equals(*read, *job));
  return 0;
}
