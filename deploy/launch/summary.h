// A run's report as a few lines for people.
#ifndef TERSE_DEPLOY_LAUNCH_SUMMARY_H_
#define TERSE_DEPLOY_LAUNCH_SUMMARY_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace terse {

// `report` is the text of report.json, `directory` the run directory the text
// points to. Says how good the model is, how long it took, what was sent beside
// what fp32 would have been, and where the time went.
// Errors: DataLoss (no JSON object).
absl::StatusOr<std::string> SummaryText(std::string_view report,
                                        const std::string& directory);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_SUMMARY_H_
