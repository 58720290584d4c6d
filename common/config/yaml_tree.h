// YAML as a tree that knows where each piece stands. Takes what job files need:
// one document of mappings, lists and scalars; no anchors, aliases or tags, so
// that the tree is never larger than the text.
#ifndef TERSE_COMMON_CONFIG_YAML_TREE_H_
#define TERSE_COMMON_CONFIG_YAML_TREE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace terse {

// A text that YAML came from: a file, or an override of one line.
struct YamlSource {
  std::string name;
  bool has_lines = true;  // Whether errors show line and column.
};

struct YamlPlace {
  uint32_t source = 0;  // Index into the list of sources.
  int line = 1;         // From 1.
  int column = 1;
};

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMapping };
  Kind kind = Kind::kNull;
  YamlPlace place;
  std::string text;     // Of a scalar.
  bool quoted = false;  // A quoted scalar is a string whatever it looks like.
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // In the order of the text; keys differ.

  YamlEntry* Find(std::string_view key);
};

struct YamlEntry {
  std::string key;
  YamlPlace place;  // Of the key.
  YamlNode value;
};

// "a mapping", "a list", "nothing", "'text'".
std::string DescribeNode(const YamlNode& node);

// An error of exit code 78: "job.yaml:12:5: message".
absl::Status YamlError(const std::vector<YamlSource>& sources,
                       const YamlPlace& place, std::string_view message);

// Parses `text`, which is sources[source].
// Errors: InvalidArgument (exit code 78).
absl::StatusOr<YamlNode> ParseYaml(std::string_view text,
                                   const std::vector<YamlSource>& sources,
                                   uint32_t source);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_YAML_TREE_H_
