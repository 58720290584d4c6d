#include "tests/unit/common/config/random_job.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "common/base/random.h"
#include "common/config/schema.h"

namespace terse {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

class Generator {
 public:
  explicit Generator(uint64_t seed) : key_(DrawKey(Draw::kSimulate, {seed})) {}

  uint64_t Below(uint64_t end) { return Mix64(key_ + ++index_) % end; }

  void Fill(Message& message) {
    const Descriptor& type = *message.GetDescriptor();
    if (IsChoice(type)) {
      FillField(message,
                *type.field(static_cast<int>(
                    Below(static_cast<uint64_t>(type.field_count())))),
                /*must=*/true);
      return;
    }
    // The kind first: the others hang on it.
    const FieldDescriptor* kind = KindField(type);
    if (kind != nullptr) FillField(message, *kind, false);
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (&field == kind || !GoesWithKind(message, field)) continue;
      if (AlternativeOf(field) != nullptr) continue;
      FillField(message, field, IsRequired(field));
    }
    if (type.name() == "Model" || type.name() == "Train") {
      FillField(message, *type.field(static_cast<int>(Below(2))), true);
    }
  }

 private:
  void FillField(Message& message, const FieldDescriptor& field, bool must) {
    const Reflection& reflection = *message.GetReflection();
    if (!field.is_repeated()) {
      if (!must && Below(3) == 0) return;
      if (field.message_type() != nullptr) {
        Fill(*reflection.MutableMessage(&message, &field));
      } else {
        FillScalar(message, field);
      }
      return;
    }
    const uint64_t count = Below(4) + (must ? 1 : 0);
    for (uint64_t i = 0; i < count; ++i) {
      if (field.message_type() != nullptr) {
        Fill(*reflection.AddMessage(&message, &field));
      } else {
        FillScalar(message, field);
      }
    }
  }

  void FillScalar(Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return reflection.SetBool(&message, &field, Below(2) == 1);
      case FieldDescriptor::CPPTYPE_ENUM:
        return reflection.SetEnum(
            &message, &field,
            field.enum_type()->value(static_cast<int>(Below(
                static_cast<uint64_t>(field.enum_type()->value_count())))));
      case FieldDescriptor::CPPTYPE_STRING:
        return reflection.SetString(&message, &field, Text());
      case FieldDescriptor::CPPTYPE_UINT64:
        return reflection.SetUInt64(&message, &field, Whole(field, ~0ull));
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto value = static_cast<uint32_t>(Whole(field, ~0u));
        if (field.is_repeated()) {
          return reflection.AddUInt32(&message, &field, value);
        }
        return reflection.SetUInt32(&message, &field, value);
      }
      default:
        if (field.is_repeated()) {
          return reflection.AddFloat(&message, &field, Real(field));
        }
        return reflection.SetFloat(&message, &field, Real(field));
    }
  }

  uint64_t Whole(const FieldDescriptor& field, uint64_t type_max) {
    const Range& limits = field.options().GetExtension(range);
    const auto min = static_cast<uint64_t>(limits.min());
    const uint64_t max =
        limits.has_max() ? static_cast<uint64_t>(limits.max()) : type_max;
    switch (Below(4)) {
      case 0:
        return min;
      case 1:
        return max;
      default:  // Small numbers as often as large ones.
        return min + (Mix64(key_ + ++index_) >> Below(64)) %
                         std::max<uint64_t>(max - min, 1);
    }
  }

  // Any float of the range: its bits are uniform, not its value.
  float Real(const FieldDescriptor& field) {
    const Range& limits = field.options().GetExtension(range);
    for (;;) {
      const auto value = std::bit_cast<float>(
          static_cast<uint32_t>(Mix64(key_ + ++index_)) >> 1);
      if (!std::isfinite(value)) continue;
      if (limits.has_max() && !(value < limits.max())) continue;
      if (value > limits.min()) return value;
    }
  }

  // Strings that a careless printer would turn into something else.
  std::string Text() {
    static constexpr const char* kPieces[] = {
        "a",        "null", "true", "~", "12", "1e3", ":", ": ", "#",   " #",
        "\"",       "'",    "\\",   "{", "]",  ",",   "-", "*",  "&",   "!",
        "\xc3\xa9", "?",    "%",    "@", "`",  " ",   "|", ">",  "\\n", "job"};
    std::string text = "x";
    if (Below(2) == 0) text.clear();
    const uint64_t count = 1 + Below(5);
    for (uint64_t i = 0; i < count; ++i) {
      text += kPieces[Below(std::size(kPieces))];
    }
    return text;
  }

  uint64_t key_;
  uint64_t index_ = 0;
};

}  // namespace

Job RandomJob(uint64_t seed) {
  Generator generator(seed);
  Job job;
  generator.Fill(job);
  // What CheckJob demands beyond ranges.
  if (!job.model().has_mlp() && job.model().layers_size() == 0) {
    job.mutable_model()->mutable_mlp()->add_hidden(3);
  }
  if (!job.train().has_epochs() && !job.train().has_steps()) {
    job.mutable_train()->set_epochs(2);
  }
  if (job.data().kind() == Data::NOISE) {
    auto* shape = job.mutable_data()->mutable_shape();
    shape->Clear();
    for (uint64_t i = 0; i < (seed % 2 == 0 ? 1 : 3); ++i) {
      shape->Add(static_cast<uint32_t>(1 + generator.Below(65536)));
    }
  }
  if (job.optimizer().nesterov() && job.optimizer().momentum() == 0) {
    job.mutable_optimizer()->set_momentum(0.5);
  }
  if (job.optimizer().schedule().kind() == Schedule::STEP) {
    auto* milestones = job.mutable_optimizer()
                           ->mutable_schedule()
                           ->mutable_milestones_epochs();
    if (milestones->empty()) milestones->Add(0.25f);
    std::sort(milestones->begin(), milestones->end());
    milestones->erase(std::unique(milestones->begin(), milestones->end()),
                      milestones->end());
  }
  if (job.cluster().mode() != Cluster::BSP) job.clear_checkpoint();
  Cluster& cluster = *job.mutable_cluster();
  if (cluster.replicas() > 0) {
    cluster.set_servers(2 + cluster.servers() % 3);
    cluster.clear_mode();
    cluster.clear_transport();
    cluster.clear_on_worker_loss();
    cluster.clear_backup_workers();
    job.mutable_compress()->clear_gradient();
  }
  const auto no_auto = [](GradientCodec& codec) {
    if (codec.kind() == GradientCodec::FASTEST) codec.Clear();
  };
  Compress& compress = *job.mutable_compress();
  for (GradientRule& rule : *compress.mutable_rules()) {
    no_auto(*rule.mutable_gradient());
  }
  if (job.cluster().mode() != Cluster::BSP) {
    no_auto(*compress.mutable_gradient());
  }
  if (compress.has_auto_()) {
    AutoCodec& fastest = *compress.mutable_auto_();
    for (GradientCodec& codec : *fastest.mutable_candidates()) no_auto(codec);
    uint64_t step = 0;
    for (CodecChoice& choice : *fastest.mutable_choices()) {
      no_auto(*choice.mutable_gradient());
      choice.set_step(step++);
    }
  }
  return job;
}

}  // namespace terse
