#include "common/config/schema.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/base/status.h"
#include "proto/job.pb.h"

namespace terse {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr std::array<std::pair<std::string_view, std::string_view>, 2>
    kAlternatives = {{{"terse.Model.mlp", "terse.Model.layers"},
                      {"terse.Train.epochs", "terse.Train.steps"}}};

constexpr std::array<std::string_view, 15> kRequired = {
    "terse.Mlp.hidden",           "terse.Conv.filters",
    "terse.Linear.outputs",       "terse.Residual.layers",
    "terse.Embedding.width",      "terse.Lstm.hidden",
    "terse.WeightRule.match",     "terse.WeightRule.weights",
    "terse.ActivationRule.match", "terse.ActivationRule.activations",
    "terse.BackwardRule.match",   "terse.BackwardRule.backward",
    "terse.GradientRule.match",   "terse.GradientRule.gradient",
    "terse.CodecChoice.gradient"};

// Sets a scalar field to its own default, so that it is present.
void SetToDefault(Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection.SetBool(&message, &field, field.default_value_bool());
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      reflection.SetUInt32(&message, &field, field.default_value_uint32());
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      reflection.SetUInt64(&message, &field, field.default_value_uint64());
      return;
    case FieldDescriptor::CPPTYPE_FLOAT:
      reflection.SetFloat(&message, &field, field.default_value_float());
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(&message, &field, field.default_value_string());
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      reflection.SetEnum(&message, &field, field.default_value_enum());
      return;
    default:
      TERSE_CHECK(!"job.proto has no other types");
  }
}

}  // namespace

std::string EnumeratorName(const EnumValueDescriptor& value) {
  if (value.options().HasExtension(word)) {
    return value.options().GetExtension(word);
  }
  return absl::AsciiStrToLower(value.name());
}

std::vector<std::string> EnumeratorNames(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    names.push_back(EnumeratorName(*type.value(i)));
  }
  return names;
}

std::vector<std::string> KeyNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->name());
  }
  return names;
}

const FieldDescriptor* ShorthandField(const Descriptor& type) {
  if (!type.options().HasExtension(shorthand)) return nullptr;
  const FieldDescriptor* field =
      type.FindFieldByName(type.options().GetExtension(shorthand));
  TERSE_CHECK(field != nullptr);
  return field;
}

bool IsChoice(const Descriptor& type) {
  return type.oneof_decl_count() == 1 &&
         type.oneof_decl(0)->field_count() == type.field_count();
}

bool TakesOptionText(const Descriptor& type) {
  const FieldDescriptor* field = ShorthandField(type);
  return field != nullptr && field->enum_type() != nullptr;
}

const FieldDescriptor* AlternativeOf(const FieldDescriptor& field) {
  const auto sibling = [&](std::string_view full_name) {
    const std::string name(full_name.substr(full_name.rfind('.') + 1));
    return field.containing_type()->FindFieldByName(name);
  };
  for (const auto& [first, second] : kAlternatives) {
    if (field.full_name() == first) return sibling(second);
    if (field.full_name() == second) return sibling(first);
  }
  return nullptr;
}

bool IsRequired(const FieldDescriptor& field) {
  return std::find(kRequired.begin(), kRequired.end(), field.full_name()) !=
         kRequired.end();
}

const FieldDescriptor* KindField(const Descriptor& type) {
  const FieldDescriptor* field = type.FindFieldByName("kind");
  // What a cluster's kind would be is called its mode.
  if (field == nullptr) field = type.FindFieldByName("mode");
  return field != nullptr && field->enum_type() != nullptr ? field : nullptr;
}

std::string KindOf(const Message& message) {
  const FieldDescriptor* field = KindField(*message.GetDescriptor());
  TERSE_CHECK(field != nullptr);
  return EnumeratorName(*message.GetReflection()->GetEnum(message, field));
}

std::vector<std::string> KindsOf(const FieldDescriptor& field) {
  std::vector<std::string> kinds;
  for (int i = 0; i < field.options().ExtensionSize(with_kind); ++i) {
    kinds.push_back(field.options().GetExtension(with_kind, i));
  }
  return kinds;
}

bool GoesWithKind(const Message& message, const FieldDescriptor& field) {
  const std::vector<std::string> kinds = KindsOf(field);
  return kinds.empty() ||
         std::find(kinds.begin(), kinds.end(), KindOf(message)) != kinds.end();
}

void FillDefaults(Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const bool is_message = field.message_type() != nullptr;
    if (field.is_repeated()) {
      const int count = is_message ? reflection.FieldSize(message, &field) : 0;
      for (int j = 0; j < count; ++j) {
        FillDefaults(*reflection.MutableRepeatedMessage(&message, &field, j));
      }
      continue;
    }
    const bool present = reflection.HasField(message, &field);
    if (is_message) {
      const bool chosen = field.real_containing_oneof() != nullptr ||
                          AlternativeOf(field) != nullptr || IsRequired(field);
      if (present || (!chosen && GoesWithKind(message, field))) {
        FillDefaults(*reflection.MutableMessage(&message, &field));
      }
    } else if (!present && field.has_default_value() &&
               GoesWithKind(message, field)) {
      SetToDefault(message, field);
    }
  }
}

}  // namespace terse
