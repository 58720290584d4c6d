#include "common/config/reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/config/names.h"
#include "common/config/scalar.h"
#include "common/config/schema.h"

namespace terse {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

YamlNode MakeScalar(const YamlPlace& place, std::string text, bool quoted) {
  return {.kind = YamlNode::Kind::kScalar,
          .place = place,
          .text = std::move(text),
          .quoted = quoted};
}

// The parts between commas that stand in no parentheses.
std::vector<absl::string_view> SplitOptions(absl::string_view text) {
  std::vector<absl::string_view> parts;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (text[i] != ',' || depth != 0) continue;
    parts.push_back(text.substr(start, i - start));
    start = i + 1;
  }
  parts.push_back(text.substr(start));
  return parts;
}

// "(text)" as "text".
absl::string_view StripParentheses(absl::string_view text) {
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return text;
  return text.substr(1, text.size() - 2);
}

// "qsgd:levels=7,bucket=512" as {kind: qsgd, levels: 7, bucket: 512}. Options
// of an option stand in parentheses: "topk:values=(qsgd:levels=7,bucket=512)".
std::string ExpandOptionText(const FieldDescriptor& kind, YamlNode& node) {
  const size_t colon = node.text.find(':');
  YamlNode mapping{.kind = YamlNode::Kind::kMapping, .place = node.place};
  mapping.entries.push_back(
      {kind.name(), node.place,
       MakeScalar(node.place, node.text.substr(0, colon), false)});
  for (const absl::string_view option :
       SplitOptions(absl::string_view(node.text).substr(colon + 1))) {
    const size_t equals = option.find('=');
    if (equals == option.npos || equals == 0) {
      return absl::StrCat("expects name:option=value,..., not ",
                          DescribeNode(node));
    }
    const std::string key(option.substr(0, equals));
    if (mapping.Find(key) != nullptr) {
      return absl::StrCat("gives '", ForMessage(key), "' twice");
    }
    mapping.entries.push_back(
        {key, node.place,
         MakeScalar(node.place,
                    std::string(StripParentheses(option.substr(equals + 1))),
                    false)});
  }
  node = std::move(mapping);
  return "";
}

std::string ExpandChoice(const Descriptor& type, YamlNode& node) {
  if (node.kind == YamlNode::Kind::kScalar) {
    YamlNode mapping{.kind = YamlNode::Kind::kMapping, .place = node.place};
    mapping.entries.push_back({node.text, node.place, {.place = node.place}});
    node = std::move(mapping);
  }
  if (node.kind == YamlNode::Kind::kMapping && node.entries.size() == 1) {
    return "";
  }
  return absl::StrCat(
      "expects one of ", absl::StrJoin(KeyNames(type), ", "), ", not ",
      node.kind == YamlNode::Kind::kMapping
          ? absl::StrCat("a mapping of ", node.entries.size(), " keys")
          : DescribeNode(node));
}

}  // namespace

std::string JoinPath(std::string_view path, std::string_view key) {
  if (path.empty()) return std::string(key);
  return absl::StrCat(ToAbsl(path), ".", ToAbsl(key));
}

std::string UnknownKey(std::string_view key, const Descriptor& type) {
  const std::vector<std::string> names = KeyNames(type);
  return absl::StrCat("unknown key", DidYouMean(key, names), " (one of ",
                      absl::StrJoin(names, ", "), ")");
}

std::string ExpandToMapping(const Descriptor& type, YamlNode& node) {
  if (IsChoice(type)) return ExpandChoice(type, node);
  if (node.kind == YamlNode::Kind::kMapping) return "";
  if (node.kind == YamlNode::Kind::kNull) {
    node.kind = YamlNode::Kind::kMapping;
    return "";
  }
  const FieldDescriptor* field = ShorthandField(type);
  if (field == nullptr) {
    return absl::StrCat("expects a mapping (keys ",
                        absl::StrJoin(KeyNames(type), ", "), "), not ",
                        DescribeNode(node));
  }
  if (node.kind == YamlNode::Kind::kScalar && TakesOptionText(type) &&
      node.text.find(':') != std::string::npos) {
    return ExpandOptionText(*field, node);
  }
  YamlNode mapping{.kind = YamlNode::Kind::kMapping, .place = node.place};
  const YamlPlace place = node.place;
  mapping.entries.push_back({field->name(), place, std::move(node)});
  node = std::move(mapping);
  return "";
}

absl::Status MessageReader::Read(YamlNode node, const std::string& path,
                                 Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const bool written_out = node.kind == YamlNode::Kind::kMapping;
  if (std::string wrong = ExpandToMapping(type, node); !wrong.empty()) {
    return Error(node.place, path, wrong);
  }
  for (const YamlEntry& entry : node.entries) {
    const FieldDescriptor* field = type.FindFieldByName(entry.key);
    // What a shorthand sets is known to its writer by the mapping's path alone.
    const bool named = written_out || node.entries.size() > 1 ||
                       field != ShorthandField(type) || IsChoice(type);
    const std::string key_path =
        named ? JoinPath(path, ForMessage(entry.key)) : path;
    if (field == nullptr) {
      return Error(entry.place, key_path, UnknownKey(entry.key, type));
    }
    places_.try_emplace(key_path, entry.place);
    TERSE_RETURN_IF_ERROR(ReadField(entry, key_path, *field, message));
  }
  return CheckKeys(node, path, message);
}

absl::Status MessageReader::ReadField(const YamlEntry& entry,
                                      const std::string& path,
                                      const FieldDescriptor& field,
                                      Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const YamlNode& node = entry.value;
  // yaml-cpp places nothing where the next token stands.
  const YamlPlace& place =
      node.kind == YamlNode::Kind::kNull ? entry.place : node.place;
  if (!field.is_repeated()) {
    if (field.message_type() != nullptr) {
      YamlNode placed = node;
      placed.place = place;
      return Read(std::move(placed), path,
                  *reflection.MutableMessage(&message, &field));
    }
    const std::string wrong = SetScalar(node, field, message);
    return wrong.empty() ? absl::OkStatus() : Error(place, path, wrong);
  }
  if (node.kind != YamlNode::Kind::kList) {
    return Error(place, path,
                 absl::StrCat("expects a list, not ", DescribeNode(node)));
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    const YamlNode& item = node.items[i];
    const std::string item_path = JoinPath(path, std::to_string(i));
    places_.try_emplace(item_path, item.place);
    if (field.message_type() != nullptr) {
      TERSE_RETURN_IF_ERROR(
          Read(item, item_path, *reflection.AddMessage(&message, &field)));
      continue;
    }
    const std::string wrong = SetScalar(item, field, message);
    if (!wrong.empty()) return Error(item.place, item_path, wrong);
  }
  return absl::OkStatus();
}

absl::Status MessageReader::CheckKeys(const YamlNode& node,
                                      const std::string& path,
                                      const Message& message) const {
  const Descriptor& type = *message.GetDescriptor();
  for (const YamlEntry& entry : node.entries) {
    const FieldDescriptor& field = *type.FindFieldByName(entry.key);
    if (GoesWithKind(message, field)) continue;
    const std::string kind_name = KindField(type)->name();
    return Error(
        entry.place, JoinPath(path, entry.key),
        absl::StrCat("goes with ", kind_name, " ",
                     absl::StrJoin(KindsOf(field), " or "), " only, but ",
                     kind_name, " is ", KindOf(message)));
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!IsRequired(field)) continue;
    bool given = false;
    for (const YamlEntry& entry : node.entries) {
      given |= entry.key == field.name();
    }
    if (!given) {
      return Error(node.place, path,
                   absl::StrCat("the key '", field.name(), "' is missing"));
    }
  }
  return absl::OkStatus();
}

absl::Status MessageReader::ErrorAt(std::string_view path,
                                    std::string_view text) const {
  for (std::string_view above = path;;) {
    if (const auto found = places_.find(above); found != places_.end()) {
      return Error(found->second, path, text);
    }
    const size_t dot = above.rfind('.');
    if (dot == above.npos) return Error({}, path, text);
    above = above.substr(0, dot);
  }
}

absl::Status MessageReader::Error(const YamlPlace& place, std::string_view path,
                                  std::string_view text) const {
  if (path.empty()) return YamlError(sources_, place, text);
  return YamlError(sources_, place,
                   absl::StrCat(ToAbsl(path), ": ", ToAbsl(text)));
}

}  // namespace terse
