#include "common/config/scalar.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/config/names.h"
#include "common/config/schema.h"
#include "proto/job.pb.h"

namespace terse {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string FormatNumber(double value) {
  std::array<char, 32> text;
  // A limit that is a whole number reads better with all its digits.
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

// " from 1 to 8", " above 0 and at most 1", " of at least 0", or nothing.
std::string DescribeRange(const Range& limits) {
  if (!limits.has_min() && !limits.has_max()) return "";
  const std::string min = FormatNumber(limits.min());
  const std::string max = FormatNumber(limits.max());
  if (!limits.has_max()) {
    return absl::StrCat(limits.above_min() ? " above " : " of at least ", min);
  }
  if (!limits.above_min() && !limits.below_max()) {
    return absl::StrCat(" from ", min, " to ", max);
  }
  return absl::StrCat(limits.above_min() ? " above " : " of at least ", min,
                      limits.below_max() ? " and below " : " and at most ",
                      max);
}

bool InRange(const Range& limits, double value) {
  if (limits.has_min()) {
    if (value < limits.min()) return false;
    if (limits.above_min() && value == limits.min()) return false;
  }
  if (limits.has_max()) {
    if (value > limits.max()) return false;
    if (limits.below_max() && value == limits.max()) return false;
  }
  return true;
}

// A decimal number without the forms that YAML's versions read differently
// (010, 0x10, 1_000, .inf): [+-] digits [. digits] [e [+-] digits].
bool LooksDecimal(std::string_view text, bool whole) {
  const auto digits = [&text] {
    size_t n = 0;
    while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
    text.remove_prefix(n);
    return n;
  };
  const auto take = [&text](std::string_view any) {
    if (text.empty() || any.find(text[0]) == any.npos) return false;
    text.remove_prefix(1);
    return true;
  };
  take("+-");
  const std::string_view before = text;
  const size_t integer_digits = digits();
  if (integer_digits > 1 && before[0] == '0') return false;
  if (whole) return integer_digits > 0 && text.empty();
  size_t fraction_digits = 0;
  if (take(".")) fraction_digits = digits();
  if (integer_digits + fraction_digits == 0) return false;
  if (take("eE")) {
    take("+-");
    if (digits() == 0) return false;
  }
  return text.empty();
}

template <typename T>
std::errc ParseNumber(std::string_view text, T& value) {
  if (text[0] == '+') text.remove_prefix(1);
  return std::from_chars(text.data(), text.data() + text.size(), value).ec;
}

std::string SetWhole(const YamlNode& node, const FieldDescriptor& field,
                     Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const Range& limits = field.options().GetExtension(range);
  const bool wide = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
  const uint64_t type_max = wide ? std::numeric_limits<uint64_t>::max()
                                 : std::numeric_limits<uint32_t>::max();
  const std::string bounds = limits.has_min() || limits.has_max()
                                 ? DescribeRange(limits)
                                 : absl::StrCat(" from 0 to ", type_max);
  const std::string& zero = field.options().GetExtension(zero_word);
  if (!zero.empty() && node.text == zero) {
    reflection.SetUInt32(&message, &field, 0);
    return "";
  }
  const std::string wrong =
      absl::StrCat("expects a whole number", bounds, zero.empty() ? "" : " or ",
                   zero, ", not ", DescribeNode(node));
  if (node.quoted || !LooksDecimal(node.text, /*whole=*/true)) return wrong;
  uint64_t value = 0;
  if (ParseNumber(node.text, value) != std::errc()) return wrong;
  if (value > type_max || !InRange(limits, static_cast<double>(value))) {
    return wrong;
  }
  if (wide) {
    reflection.SetUInt64(&message, &field, value);
  } else if (field.is_repeated()) {
    reflection.AddUInt32(&message, &field, static_cast<uint32_t>(value));
  } else {
    reflection.SetUInt32(&message, &field, static_cast<uint32_t>(value));
  }
  return "";
}

std::string SetReal(const YamlNode& node, const FieldDescriptor& field,
                    Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const Range& limits = field.options().GetExtension(range);
  const std::string wrong = absl::StrCat(
      "expects a number", DescribeRange(limits), ", not ", DescribeNode(node));
  if (node.quoted || !LooksDecimal(node.text, /*whole=*/false)) return wrong;
  float value = 0;
  const std::errc error = ParseNumber(node.text, value);
  if (error == std::errc::result_out_of_range) {
    return absl::StrCat(wrong, ", which does not fit a 32-bit float");
  }
  // The range holds for what the job computes with, the rounded number.
  if (error != std::errc() || !InRange(limits, value)) return wrong;
  if (field.is_repeated()) {
    reflection.AddFloat(&message, &field, value);
  } else {
    reflection.SetFloat(&message, &field, value);
  }
  return "";
}

std::string SetEnumerator(const YamlNode& node, const FieldDescriptor& field,
                          Message& message) {
  const std::vector<std::string> names = EnumeratorNames(*field.enum_type());
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    if (names[i] != node.text) continue;
    message.GetReflection()->SetEnum(&message, &field,
                                     field.enum_type()->value(i));
    return "";
  }
  return absl::StrCat("unknown value ", DescribeNode(node),
                      DidYouMean(node.text, names), " (one of ",
                      absl::StrJoin(names, ", "), ")");
}

std::string SetBool(const YamlNode& node, const FieldDescriptor& field,
                    Message& message) {
  if (node.quoted || (node.text != "true" && node.text != "false")) {
    return absl::StrCat("expects true or false, not ", DescribeNode(node));
  }
  message.GetReflection()->SetBool(&message, &field, node.text == "true");
  return "";
}

std::string DescribeExpected(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "a string";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat(
          "one of ", absl::StrJoin(EnumeratorNames(*field.enum_type()), ", "));
    default:
      return absl::StrCat(field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT
                              ? "a number"
                              : "a whole number",
                          DescribeRange(field.options().GetExtension(range)));
  }
}

}  // namespace

std::string SetScalar(const YamlNode& node, const FieldDescriptor& field,
                      Message& message) {
  if (node.kind != YamlNode::Kind::kScalar) {
    return absl::StrCat("expects ", DescribeExpected(field), ", not ",
                        DescribeNode(node));
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(node, field, message);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnumerator(node, field, message);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return SetReal(node, field, message);
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetWhole(node, field, message);
    case FieldDescriptor::CPPTYPE_STRING:
      message.GetReflection()->SetString(&message, &field, node.text);
      return "";
    default:
      TERSE_CHECK(!"job.proto has no other types");
      return "";
  }
}

}  // namespace terse
