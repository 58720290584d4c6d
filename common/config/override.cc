#include "common/config/override.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/config/names.h"
#include "common/config/reader.h"
#include "common/config/schema.h"

namespace terse {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Walks down the tree along the override's path, writing shorthands out on the
// way.
class Walker {
 public:
  Walker(const std::vector<YamlSource>& sources, uint32_t source,
         const Descriptor& type, YamlNode& root)
      : sources_(sources),
        place_{.source = source},
        type_(&type),
        node_(&root) {}

  // Puts `value` at `path`, or removes what is there if value is null.
  absl::Status Set(const std::vector<std::string>& path, YamlNode value) {
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      TERSE_RETURN_IF_ERROR(Enter(path[i]));
    }
    return list_ != nullptr ? SetItem(path.back(), std::move(value))
                            : SetKey(path.back(), std::move(value));
  }

 private:
  absl::Status Error(std::string_view text) const {
    return YamlError(
        sources_, place_,
        absl::StrCat(path_, path_.empty() ? "" : ": ", ToAbsl(text)));
  }

  absl::StatusOr<const FieldDescriptor*> FieldOf(const std::string& key) {
    path_ = JoinPath(path_, ForMessage(key));
    if (type_ == nullptr) return Error("there are no keys below a scalar");
    const FieldDescriptor* field = type_->FindFieldByName(key);
    if (field == nullptr) return Error(UnknownKey(key, *type_));
    if (std::string wrong = ExpandToMapping(*type_, *node_); !wrong.empty()) {
      return Error(wrong);
    }
    return field;
  }

  absl::StatusOr<YamlNode*> ItemOf(const std::string& index_text) {
    path_ = JoinPath(path_, ForMessage(index_text));
    uint32_t index = 0;
    const size_t count = node_->items.size();
    if (!absl::SimpleAtoi(index_text, &index) || index >= count) {
      return Error(
          count == 0 ? std::string("the list is empty")
                     : absl::StrCat("expects an index from 0 to ", count - 1));
    }
    return &node_->items[index];
  }

  absl::Status Enter(const std::string& part) {
    if (list_ != nullptr) {
      TERSE_ASSIGN_OR_RETURN(node_, ItemOf(part));
      type_ = list_->message_type();
      list_ = nullptr;
      return absl::OkStatus();
    }
    TERSE_ASSIGN_OR_RETURN(const FieldDescriptor* field, FieldOf(part));
    YamlEntry* entry = node_->Find(part);
    if (entry == nullptr) {
      node_->entries.push_back({part, place_, {.place = place_}});
      entry = &node_->entries.back();
    }
    node_ = &entry->value;
    type_ = field->message_type();
    if (field->is_repeated()) list_ = field;
    return absl::OkStatus();
  }

  absl::Status SetItem(const std::string& part, YamlNode value) {
    TERSE_ASSIGN_OR_RETURN(YamlNode * item, ItemOf(part));
    if (value.kind == YamlNode::Kind::kNull) {
      return Error("an item of a list has no default");
    }
    *item = std::move(value);
    return absl::OkStatus();
  }

  absl::Status SetKey(const std::string& part, YamlNode value) {
    TERSE_ASSIGN_OR_RETURN(const FieldDescriptor* field, FieldOf(part));
    std::erase_if(node_->entries,
                  [&](const YamlEntry& entry) { return entry.key == part; });
    if (value.kind == YamlNode::Kind::kNull) return absl::OkStatus();
    if (const FieldDescriptor* other = AlternativeOf(*field)) {
      std::erase_if(node_->entries, [&](const YamlEntry& entry) {
        return entry.key == other->name() && entry.place.source == 0;
      });
    }
    node_->entries.push_back({part, place_, std::move(value)});
    return absl::OkStatus();
  }

  const std::vector<YamlSource>& sources_;
  YamlPlace place_;
  std::string path_;
  // The message type of `node_`; null for a scalar. If `list_` is set, node_ is
  // that field's list.
  const Descriptor* type_;
  const FieldDescriptor* list_ = nullptr;
  YamlNode* node_;
};

}  // namespace

absl::Status ApplyOverride(std::string_view text,
                           const std::vector<YamlSource>& sources,
                           uint32_t source, const Descriptor& type,
                           YamlNode& root) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0) {
    return YamlError(sources, {.source = source},
                     "expects key=value, like train.batch_size=32");
  }
  TERSE_ASSIGN_OR_RETURN(YamlNode value,
                         ParseYaml(text.substr(equals + 1), sources, source));
  const std::vector<std::string> path =
      absl::StrSplit(ToAbsl(text.substr(0, equals)), '.');
  return Walker(sources, source, type, root).Set(path, std::move(value));
}

}  // namespace terse
