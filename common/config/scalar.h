// Scalars of a job file: what they may be, and the fields they set.
#ifndef TERSE_COMMON_CONFIG_SCALAR_H_
#define TERSE_COMMON_CONFIG_SCALAR_H_

#include <string>

#include "common/config/yaml_tree.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace terse {

// Sets `field` of `message` (adds to it, if it is repeated) from `node`.
// Returns what is wrong with the node, "" when nothing is: "expects a whole
// number from 1 to 8, not 'x'".
std::string SetScalar(const YamlNode& node,
                      const google::protobuf::FieldDescriptor& field,
                      google::protobuf::Message& message);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_SCALAR_H_
