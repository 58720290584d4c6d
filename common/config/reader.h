// Turns a YAML tree into a message of proto/job.proto.
#ifndef TERSE_COMMON_CONFIG_READER_H_
#define TERSE_COMMON_CONFIG_READER_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/yaml_tree.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace terse {

// "a.b" for "a" and "b"; the root's path is empty.
std::string JoinPath(std::string_view path, std::string_view key);

// "unknown key; did you mean 'x'? (one of x, y, z)".
std::string UnknownKey(std::string_view key,
                       const google::protobuf::Descriptor& type);

// Writes what may stand for a mapping out as that mapping: nothing (an empty
// one), a scalar or list for the shorthand field, "name:option=value,...", a
// name for a choice. A mapping stays as it is.
// Returns what is wrong with the node, "" when nothing is.
std::string ExpandToMapping(const google::protobuf::Descriptor& type,
                            YamlNode& node);

class MessageReader {
 public:
  // `sources` must outlive the reader.
  explicit MessageReader(const std::vector<YamlSource>& sources)
      : sources_(sources) {}

  // Reads `node`, found at `path`, into `message`, which is empty.
  // Errors: InvalidArgument (exit code 78).
  absl::Status Read(YamlNode node, const std::string& path,
                    google::protobuf::Message& message);

  // An error about `path`, placed where it or the nearest thing above it was
  // read.
  absl::Status ErrorAt(std::string_view path, std::string_view text) const;

 private:
  absl::Status ReadField(const YamlEntry& entry, const std::string& path,
                         const google::protobuf::FieldDescriptor& field,
                         google::protobuf::Message& message);
  absl::Status CheckKeys(const YamlNode& node, const std::string& path,
                         const google::protobuf::Message& message) const;
  absl::Status Error(const YamlPlace& place, std::string_view path,
                     std::string_view text) const;

  const std::vector<YamlSource>& sources_;
  std::map<std::string, YamlPlace, std::less<>> places_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_READER_H_
