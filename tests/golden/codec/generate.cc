// Writes the golden files of the codecs: golden_codec_generate FOLDER
// [--overwrite].
#include <cstring>
#include <functional>

#include "tests/golden/codec/golden_cases.h"
#include "tests/golden/golden_files.h"

namespace terse {
namespace {

using Bytes = std::vector<std::byte>;

void WriteGood(GoldenWriter& writer) {
  for (const GoldenInput& input : kGoldenInputs) {
    writer.WriteFloats("inputs/" + input.Name() + ".f32",
                       CodecInput(input.kind, input.count));
  }
  for (const CodecCase& one : CodecCases()) {
    const auto codec = MakeCodecFromText(one.options);
    for (const GoldenInput& input : kGoldenInputs) {
      const auto values = CodecInput(input.kind, input.count);
      const Bytes payload = MustEncode(*codec, values, kGoldenArgs);
      const std::string name = "good/" + one.name + "__" + input.Name();
      writer.Write(name + ".payload", payload);
      writer.WriteFloats(name + ".f32", Decode(*codec, payload, input.count));
    }
  }
}

Bytes Float(float value) {
  Bytes bytes(sizeof(value));
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

// A damage to the encoding of `count` Gaussians.
struct Damage {
  const char* codec_case;
  const char* why;
  size_t count;
  const char* code;
  std::function<void(Bytes&)> apply;
};

std::function<void(Bytes&)> PutFloat(size_t offset, float value) {
  return [=](Bytes& bytes) {
    const Bytes field = Float(value);
    std::copy(field.begin(), field.end(), bytes.begin() + offset);
  };
}

std::function<void(Bytes&)> PutByte(size_t offset, int value) {
  return [=](Bytes& bytes) {
    bytes[offset < bytes.size() ? offset : bytes.size() - 1] =
        static_cast<std::byte>(value);
  };
}

constexpr size_t kLast = SIZE_MAX;

const std::vector<Damage>& Damages() {
  static const auto* const damages = [] {
    constexpr float kNan = __builtin_nanf("");
    constexpr float kInfinity = __builtin_inff();
    const auto cut = [](Bytes& bytes) { bytes.pop_back(); };
    const auto longer = [](Bytes& bytes) { bytes.push_back(std::byte{0}); };
    const char* const kLoss = "DATA_LOSS";
    const char* const kInvalid = "INVALID_ARGUMENT";
    auto* const list = new std::vector<Damage>{
        {"none", "nan", 5, kInvalid, PutFloat(8, kNan)},
        {"fp16", "infinity", 5, kInvalid, PutByte(kLast, 0x7c)},
        {"terngrad", "byte_243", 330, kLoss, PutByte(10, 243)},
        {"terngrad", "byte_255", 330, kLoss, PutByte(kLast, 255)},
        {"terngrad", "padding", 7, kLoss, PutByte(kLast, 9)},
        {"terngrad", "nan_scale", 330, kInvalid, PutFloat(0, kNan)},
        {"terngrad", "infinite_scale", 330, kInvalid, PutFloat(0, kInfinity)},
        {"terngrad", "negative_scale", 330, kInvalid, PutFloat(0, -1.0f)},
        {"terngrad", "negative_zero_scale", 330, kInvalid, PutFloat(0, -0.0f)},
        {"qsgd", "code_15", 600, kLoss, PutByte(8 + 100, 0x2f)},
        {"qsgd", "code_15_in_rest", 600, kLoss, PutByte(kLast, 0xf0)},
        {"qsgd", "padding", 7, kLoss, PutByte(kLast, 0x12)},
        {"qsgd", "nan_norm", 600, kInvalid, PutFloat(4, kNan)},
        {"qsgd", "negative_norm", 600, kInvalid, PutFloat(0, -2.0f)},
        {"dorefa", "infinite_norm", 600, kInvalid, PutFloat(0, kInfinity)},
        {"dorefa", "padding", 7, kLoss, PutByte(kLast, 0x82)},
        {"bf16", "nan", 5, kInvalid,
         [](Bytes& bytes) {
           bytes[8] = std::byte{0xc0};
           bytes[9] = std::byte{0x7f};
         }},
        {"natural", "exponent_255", 7, kLoss, PutByte(0, 0xff)},
        {"randomk", "nan_value", 700, kInvalid, PutFloat(8, kNan)},
        {"threshold", "more_than_all", 700, kLoss, PutByte(1, 0x77)},
        {"threshold", "fewer", 700, kLoss, PutByte(0, 1)},
        {"sign", "nan_scale", 700, kInvalid, PutFloat(0, kNan)},
        {"sign", "overflow", 700, kInvalid, PutFloat(0, 2e38f)},
        {"blockfloat_8", "code_255", 700, kLoss, PutByte(9, 255)},
        {"topk", "form_32", 700, kLoss, PutByte(0, 32)},
        {"topk", "all_of_few", 700, kLoss, PutByte(0, 0xff)},
        {"topk", "few_low_bits", 700, kLoss, PutByte(0, 0)},
        {"topk_30", "out_of_range", 700, kLoss,
         [](Bytes& bytes) {
           for (size_t i = 1; i < 8; ++i) bytes[i] = std::byte{0};
         }},
        {"topk_all", "bitmap_of_all", 700, kLoss, PutByte(0, 0xfe)},
        {"topk_all", "nan_value", 700, kInvalid, PutFloat(9, kNan)},
        {"topk_tensor", "more_than_all", 700, kLoss, PutByte(1, 0x77)},
        {"topk_tensor", "fewer", 700, kLoss, PutByte(0, 1)},
        {"topk_warmup", "form_32", 700, kLoss, PutByte(4, 32)},
        {"topk_terngrad", "byte_243", 700, kLoss, PutByte(kLast, 243)},
        {"topk_fp16", "infinity", 700, kInvalid, PutByte(kLast, 0x7c)},
        {"onebit", "nan_mean", 700, kInvalid, PutFloat(4, kNan)},
        {"onebit", "negative_mean", 700, kInvalid, PutFloat(0, -1.0f)},
        {"onebit", "padding", 7, kLoss, PutByte(kLast, 0x80)},
        {"majority", "nan_scale", 700, kInvalid, PutFloat(0, kNan)},
        {"term", "code_15", 700, kLoss, PutByte(kLast, 0xff)},
        {"qsgd_elias", "more_than_all", 700, kLoss, PutByte(8 + 2, 1)},
        {"qsgd_elias", "fewer", 700, kLoss, PutByte(8, 1)},
        {"qsgd_elias", "far_away", 700, kLoss, PutByte(8 + 4, 0xff)},
        {"qsgd_elias", "nan_norm", 700, kInvalid, PutFloat(0, kNan)},
        {"rows", "more_than_all", 700, kLoss, PutByte(0, 71)},
        {"rows", "fewer", 700, kLoss, PutByte(0, 1)},
        {"rows", "nan_value", 700, kInvalid, PutFloat(9, kNan)},
    };
    for (const CodecCase& one : CodecCases()) {
      list->push_back({one.name.c_str(), "cut", 700, kLoss, cut});
      list->push_back({one.name.c_str(), "longer", 700, kLoss, longer});
    }
    return list;
  }();
  return *damages;
}

void WriteBad(GoldenWriter& writer) {
  for (const CodecCase& one : CodecCases()) {
    const auto codec = MakeCodecFromText(one.options);
    for (const Damage& damage : Damages()) {
      if (damage.codec_case != one.name) continue;
      Bytes payload =
          MustEncode(*codec, CodecInput("gaussian", damage.count), kGoldenArgs);
      damage.apply(payload);
      writer.Write("bad/" + one.name + "__" + damage.why + "__n" +
                       std::to_string(damage.count) + "." + damage.code +
                       ".payload",
                   payload);
    }
  }
}

void WriteAll(GoldenWriter& writer) {
  WriteGood(writer);
  WriteBad(writer);
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  return terse::GenerateGolden(argc, argv, terse::WriteAll);
}
