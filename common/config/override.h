// Overrides of the command line: "a.b=c".
#ifndef TERSE_COMMON_CONFIG_OVERRIDE_H_
#define TERSE_COMMON_CONFIG_OVERRIDE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/config/yaml_tree.h"
#include "google/protobuf/descriptor.h"

namespace terse {

// What an override's name is shown with in errors.
inline constexpr char kOverrideFlag[] = "--set ";

// Applies the override `text`, which is sources[source], to `root`, the tree of
// a message of type `type`. The value takes the place of whatever stood there;
// nothing or null brings the default back. Of two keys that exclude each other
// (epochs, steps) an override drops the one that stood in the file.
// Errors: InvalidArgument (exit code 78) naming the override.
absl::Status ApplyOverride(std::string_view text,
                           const std::vector<YamlSource>& sources,
                           uint32_t source,
                           const google::protobuf::Descriptor& type,
                           YamlNode& root);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_OVERRIDE_H_
