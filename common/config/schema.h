// What proto/job.proto says beyond names and types: the custom options and the
// few rules that have no option.
#ifndef TERSE_COMMON_CONFIG_SCHEMA_H_
#define TERSE_COMMON_CONFIG_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace terse {

// An enumerator as job files write it: its name in lower case.
std::string EnumeratorName(const google::protobuf::EnumValueDescriptor& value);
std::vector<std::string> EnumeratorNames(
    const google::protobuf::EnumDescriptor& type);

// The keys of a mapping.
std::vector<std::string> KeyNames(const google::protobuf::Descriptor& type);

// The field that a scalar or list in place of the mapping sets; null: none.
const google::protobuf::FieldDescriptor* ShorthandField(
    const google::protobuf::Descriptor& type);

// Whether a message of this type is one key of several, as Layer is.
bool IsChoice(const google::protobuf::Descriptor& type);

// Whether "name:option=value,..." may stand for the mapping: its shorthand is
// an enumeration.
bool TakesOptionText(const google::protobuf::Descriptor& type);

// The other one of two fields of which a job gives exactly one; null: `field`
// is not such a field.
const google::protobuf::FieldDescriptor* AlternativeOf(
    const google::protobuf::FieldDescriptor& field);

// Whether a mapping without this key is an error.
bool IsRequired(const google::protobuf::FieldDescriptor& field);

// The field that the options with_kind of `type` speak of; null: none.
const google::protobuf::FieldDescriptor* KindField(
    const google::protobuf::Descriptor& type);
std::string KindOf(const google::protobuf::Message& message);

// The values of with_kind; empty: the field goes with every kind.
std::vector<std::string> KindsOf(
    const google::protobuf::FieldDescriptor& field);
bool GoesWithKind(const google::protobuf::Message& message,
                  const google::protobuf::FieldDescriptor& field);

// Sets every field that has a default, goes with the message's kind and is not
// set, in all messages below too.
void FillDefaults(google::protobuf::Message& message);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_SCHEMA_H_
