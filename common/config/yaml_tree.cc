#include "common/config/yaml_tree.h"

#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/config/names.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace terse {
namespace {

// The deepest job file has seven levels.
constexpr size_t kDepthMax = 32;

// Thrown through yaml-cpp, which knows no other way to stop, and caught in
// ParseYaml.
struct TreeError {
  YamlPlace place;
  std::string message;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(uint32_t source) : source_(source) {}

  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    Fail(mark, "anchors (&) are not supported in job files");
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(mark, "aliases (*) are not supported in job files");
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    Add(mark, "", YamlNode::Kind::kNull, "", false);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    Add(mark, tag, YamlNode::Kind::kScalar, value, tag == "!");
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                       YAML::anchor_t, YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { open_.pop_back(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t, YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kMapping);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  // A list or mapping that is being filled. Pointers stay good because a parent
  // does not grow while its child is open.
  struct OpenNode {
    YamlNode* node;
    bool key_expected = true;  // Of mappings.
  };

  YamlPlace PlaceOf(const YAML::Mark& mark) const {
    if (mark.is_null()) return {.source = source_};
    return {source_, mark.line + 1, mark.column + 1};
  }

  [[noreturn]] void Fail(const YAML::Mark& mark, std::string message) const {
    throw TreeError{PlaceOf(mark), std::move(message)};
  }

  // Where the next value goes.
  YamlNode& Slot() {
    if (open_.empty()) return root_;
    OpenNode& parent = open_.back();
    if (parent.node->kind == YamlNode::Kind::kList) {
      return parent.node->items.emplace_back();
    }
    parent.key_expected = true;
    return parent.node->entries.back().value;
  }

  bool KeyExpected() const {
    return !open_.empty() &&
           open_.back().node->kind == YamlNode::Kind::kMapping &&
           open_.back().key_expected;
  }

  YamlNode* Add(const YAML::Mark& mark, const std::string& tag,
                YamlNode::Kind kind, const std::string& text, bool quoted) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(mark, "tags (!) are not supported in job files");
    }
    if (KeyExpected()) {
      if (kind != YamlNode::Kind::kScalar)
        Fail(mark, "a key must be a name; or is a bracket left open?");
      AddKey(mark, text);
      return nullptr;
    }
    YamlNode& node = Slot();
    node.kind = kind;
    node.place = PlaceOf(mark);
    node.text = text;
    node.quoted = quoted;
    return &node;
  }

  void AddKey(const YAML::Mark& mark, const std::string& key) {
    OpenNode& parent = open_.back();
    if (const YamlEntry* first = parent.node->Find(key)) {
      Fail(mark, absl::StrCat("duplicate key '", ForMessage(key),
                              "'; it stands in line ", first->place.line,
                              " already"));
    }
    parent.node->entries.push_back({.key = key, .place = PlaceOf(mark)});
    parent.key_expected = false;
  }

  void Open(const YAML::Mark& mark, const std::string& tag,
            YamlNode::Kind kind) {
    if (open_.size() >= kDepthMax) {
      Fail(mark, absl::StrCat("nested deeper than ", kDepthMax, " levels"));
    }
    open_.push_back({Add(mark, tag, kind, "", false)});
  }

  uint32_t source_;
  YamlNode root_;
  std::vector<OpenNode> open_;
};

// What yaml-cpp would take for something else or repair in silence: tabs as
// indentation, bytes that are not UTF-8.
absl::Status CheckText(std::string_view text,
                       const std::vector<YamlSource>& sources,
                       uint32_t source) {
  int line = 1;
  size_t line_start = 0;
  bool indentation = true;
  size_t first_tab = std::string_view::npos;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const YamlPlace place{source, line, static_cast<int>(i - line_start) + 1};
    size_t length = 1;
    if (c == '\n') {
      ++line;
      line_start = i + 1;
      indentation = true;
      first_tab = std::string_view::npos;
    } else if (indentation && c == '\t') {
      if (first_tab == std::string_view::npos) first_tab = i;
    } else if (c != ' ' && c != '\r') {
      if (indentation && first_tab != std::string_view::npos && c != '#') {
        return YamlError(sources,
                         {source, line, int(first_tab - line_start) + 1},
                         "a tab in the indentation; YAML takes spaces only");
      }
      indentation = false;
    }
    if (c >= 0x80) {
      length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
      bool good = c >= 0xc2 && c <= 0xf4 && i + length <= text.size();
      for (size_t j = 1; good && j < length; ++j) {
        good = (text[i + j] & 0xc0) == 0x80;
      }
      if (!good) return YamlError(sources, place, "not UTF-8 text");
    } else if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      return YamlError(sources, place, "a control character; not a text file?");
    }
    i += length;
  }
  return absl::OkStatus();
}

}  // namespace

YamlEntry* YamlNode::Find(std::string_view key) {
  for (YamlEntry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

std::string DescribeNode(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return absl::StrCat("'", ForMessage(node.text), "'");
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMapping:
      return "a mapping";
  }
  return "";
}

absl::Status YamlError(const std::vector<YamlSource>& sources,
                       const YamlPlace& place, std::string_view message) {
  const YamlSource& source = sources[place.source];
  std::string where = source.name;
  if (source.has_lines) {
    absl::StrAppend(&where, ":", place.line, ":", place.column);
  }
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(where, ": ", ToAbsl(message))),
      ExitCode::kBadJob);
}

absl::StatusOr<YamlNode> ParseYaml(std::string_view text,
                                   const std::vector<YamlSource>& sources,
                                   uint32_t source) {
  if (text.size() > kJobFileBytesMax) {
    return YamlError(
        sources, {.source = source},
        absl::StrCat("larger than the limit of ", kJobFileBytesMax, " bytes"));
  }
  TERSE_RETURN_IF_ERROR(CheckText(text, sources, source));
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    TreeBuilder builder(source);
    parser.HandleNextDocument(builder);
    YamlNode root = builder.TakeRoot();
    TreeBuilder rest(source);
    if (parser.HandleNextDocument(rest)) {
      return YamlError(sources, rest.TakeRoot().place,
                       "a second document; a job file has one");
    }
    return root;
  } catch (const TreeError& error) {
    return YamlError(sources, error.place, error.message);
  } catch (const YAML::Exception& error) {
    YamlPlace place{.source = source};
    if (!error.mark.is_null()) {
      place.line = error.mark.line + 1;
      place.column = error.mark.column + 1;
    }
    return YamlError(sources, place,
                     absl::StrCat("not valid YAML: ", ForMessage(error.msg)));
  }
}

}  // namespace terse
