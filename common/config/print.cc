#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/config/schema.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "proto/job.pb.h"

namespace terse {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Always in quotes, so that no string is taken for a number or for null.
std::string Quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += "\\x";
      quoted += kHex[byte >> 4];
      quoted += kHex[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// The shortest decimal that reads back as the same float.
std::string FloatText(float value) {
  std::array<char, 32> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

std::string ScalarText(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_UINT32: {
      const uint32_t value = reflection.GetUInt32(message, &field);
      const std::string& zero = field.options().GetExtension(zero_word);
      return value == 0 && !zero.empty() ? zero : absl::StrCat(value);
    }
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return FloatText(reflection.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return Quoted(reflection.GetString(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumeratorName(*reflection.GetEnum(message, &field));
    default:
      TERSE_CHECK(!"job.proto has no other types");
      return "";
  }
}

std::string ListText(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<std::string> items;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      items.push_back(
          FloatText(reflection.GetRepeatedFloat(message, &field, i)));
    } else {
      items.push_back(
          absl::StrCat(reflection.GetRepeatedUInt32(message, &field, i)));
    }
  }
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

// Appends the fields of `message`, of which every default is filled in, one a
// line behind `indent`; the first line is behind `first_indent`.
void Append(const Message& message, const std::string& first_indent,
            const std::string& indent, std::string* text) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  std::string margin = first_indent;
  const auto start_line = [&](const FieldDescriptor& field) {
    absl::StrAppend(text, margin, field.name(), ":");
    margin = indent;
  };
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!field.is_repeated()) {
      if (!reflection.HasField(message, &field)) continue;
      start_line(field);
      if (field.message_type() == nullptr) {
        absl::StrAppend(text, " ", ScalarText(message, field), "\n");
        continue;
      }
      text->push_back('\n');
      Append(reflection.GetMessage(message, &field), indent + "  ",
             indent + "  ", text);
      continue;
    }
    const int count = reflection.FieldSize(message, &field);
    const bool excluded = AlternativeOf(field) != nullptr && count == 0;
    if (excluded || !GoesWithKind(message, field)) continue;
    start_line(field);
    if (field.message_type() == nullptr || count == 0) {
      absl::StrAppend(text, " ", ListText(message, field), "\n");
      continue;
    }
    text->push_back('\n');
    for (int j = 0; j < count; ++j) {
      Append(reflection.GetRepeatedMessage(message, &field, j), indent + "  - ",
             indent + "    ", text);
    }
  }
}

}  // namespace

std::string PrintCodec(const GradientCodec& codec) {
  GradientCodec filled = codec;
  FillDefaults(filled);
  GradientCodec defaults;
  defaults.set_kind(filled.kind());
  FillDefaults(defaults);
  std::vector<std::string> options;
  const Descriptor& type = *GradientCodec::descriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.name() == "kind") continue;
    if (field.is_repeated()) {
      if (filled.GetReflection()->FieldSize(filled, &field) > 0) {
        options.push_back(
            absl::StrCat(field.name(), "=", ListText(filled, field)));
      }
      continue;
    }
    if (!filled.GetReflection()->HasField(filled, &field)) continue;
    const Message* of = &filled;
    const Message* other = &defaults;
    const FieldDescriptor* shown = &field;
    if (field.message_type() != nullptr) {
      of = &filled.GetReflection()->GetMessage(filled, &field);
      other = &defaults.GetReflection()->GetMessage(defaults, &field);
      shown = ShorthandField(*field.message_type());
    }
    const std::string text = ScalarText(*of, *shown);
    if (text == ScalarText(*other, *shown)) continue;
    options.push_back(absl::StrCat(field.name(), "=", text));
  }
  return absl::StrCat(
      EnumeratorName(
          *GradientCodec::Kind_descriptor()->FindValueByNumber(filled.kind())),
      options.empty() ? "" : ":", absl::StrJoin(options, ","));
}

std::string PrintJob(const Job& job) {
  Job filled = job;
  FillDefaults(filled);
  std::string text;
  Append(filled, "", "", &text);
  return text;
}

}  // namespace terse
