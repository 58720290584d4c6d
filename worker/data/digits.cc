#include "worker/data/digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>

#include "common/base/random.h"
#include "common/base/status.h"
#include "worker/data/byte_dataset.h"
#include "worker/data/exact_math.h"
#include "worker/data/glyphs.h"
#include "worker/data/sources.h"

namespace terse {
namespace {

constexpr int kSide = static_cast<int>(kDigitSide);
// Pictures are kept once drawn, unless they would take more memory than this.
constexpr uint64_t kKeptBytesMax = uint64_t{1} << 31;

struct Point {
  float x = 0;
  float y = 0;
};

// One uniform draw after the other.
class Draws {
 public:
  explicit Draws(uint64_t key) : key_(key) {}
  float Between(float low, float high) {
    return low + (high - low) * RandomUnit(key_, next_++);
  }
  uint32_t Below(uint32_t count) {
    return static_cast<uint32_t>(uint64_t{RandomBits(key_, next_++)} * count >>
                                 32);
  }

 private:
  uint64_t key_;
  uint64_t next_ = 0;
};

// Where the pen goes: from the glyph's box to the picture.
class Hand {
 public:
  explicit Hand(Draws& draws) {
    const SinCos turn = SinCosTurns(draws.Between(-.05f, .05f));
    const float width = draws.Between(12, 20);
    const float height = draws.Between(16, 22);
    const float shear = draws.Between(-.3f, .3f);
    xx_ = turn.cos * width;
    xy_ = (turn.cos * shear - turn.sin) * height;
    yx_ = turn.sin * width;
    yy_ = (turn.sin * shear + turn.cos) * height;
    const float centre = (kSide - 1) / 2.f;
    shift_ = {centre + draws.Between(-2.5f, 2.5f),
              centre + draws.Between(-2.5f, 2.5f)};
    for (Wave& wave : waves_) {
      wave = {draws.Between(-.9f, .9f), draws.Between(-.9f, .9f),
              draws.Between(0, 1), draws.Between(0, .04f)};
    }
  }

  Point Move(Point point) const {
    const Point bent = {point.x - .5f + Bend(waves_[0], point),
                        point.y - .5f + Bend(waves_[1], point)};
    return {shift_.x + xx_ * bent.x + xy_ * bent.y,
            shift_.y + yx_ * bent.x + yy_ * bent.y};
  }

 private:
  // A slow wave over the box: the tremor bends strokes and keeps them whole.
  struct Wave {
    float x_turns = 0;
    float y_turns = 0;
    float phase = 0;
    float height = 0;
  };
  static float Bend(const Wave& wave, Point point) {
    return wave.height * SinCosTurns(wave.phase + wave.x_turns * point.x +
                                     wave.y_turns * point.y)
                             .sin;
  }

  float xx_, xy_, yx_, yy_;
  Point shift_;
  std::array<Wave, 2> waves_;
};

struct Pen {
  float radius = 1;    // Pixels.
  float softness = 1;  // Pixels over which the edge fades.
  float ink = 1;       // At most 1.
};

class Canvas {
 public:
  // Brightens every pixel to the ink of a line from `a` to `b`.
  void Draw(Point a, Point b, const Pen& pen) {
    const float reach = pen.radius + pen.softness;
    const int left = First(std::min(a.x, b.x) - reach);
    const int right = Last(std::max(a.x, b.x) + reach);
    const int top = First(std::min(a.y, b.y) - reach);
    const int bottom = Last(std::max(a.y, b.y) + reach);
    const Point along = {b.x - a.x, b.y - a.y};
    const float length2 = along.x * along.x + along.y * along.y;
    const float scale = length2 > 0 ? 1 / length2 : 0;
    for (int y = top; y <= bottom; ++y) {
      for (int x = left; x <= right; ++x) {
        const Point to = {static_cast<float>(x) - a.x,
                          static_cast<float>(y) - a.y};
        const float share =
            std::clamp((to.x * along.x + to.y * along.y) * scale, 0.f, 1.f);
        const float dx = to.x - share * along.x;
        const float dy = to.y - share * along.y;
        const float distance = std::sqrt(dx * dx + dy * dy);
        const float cover =
            std::clamp((pen.radius - distance) / pen.softness + .5f, 0.f, 1.f);
        float& pixel = light_[static_cast<size_t>(y * kSide + x)];
        pixel = std::max(pixel, pen.ink * cover);
      }
    }
  }

  float light(size_t pixel) const { return light_[pixel]; }

 private:
  // The picture's pixels within a range that may lie beyond it.
  static int First(float at) {
    return static_cast<int>(std::clamp(at, 0.f, float{kSide}));
  }
  static int Last(float at) {
    return static_cast<int>(std::clamp(at + 1, 0.f, float{kSide})) - 1;
  }

  std::array<float, kDigitPixels> light_{};
};

Point OnStroke(const Stroke& stroke, float share) {
  const float* v = stroke.values;
  if (stroke.kind == Stroke::Kind::kLine) {
    return {v[0] + (v[2] - v[0]) * share, v[1] + (v[3] - v[1]) * share};
  }
  const SinCos angle = SinCosTurns(v[4] + (v[5] - v[4]) * share);
  return {v[0] + v[2] * angle.cos, v[1] + v[3] * angle.sin};
}

void DrawStroke(Stroke stroke, const Hand& hand, const Pen& pen, Draws& draws,
                Canvas& canvas) {
  for (float& value : std::span(stroke.values).first<4>()) {
    value += draws.Between(-.03f, .03f);
  }
  constexpr int kLineParts = 3;
  constexpr int kArcParts = 12;
  const int parts = stroke.kind == Stroke::Kind::kLine ? kLineParts : kArcParts;
  Point from = hand.Move(OnStroke(stroke, 0));
  for (int part = 1; part <= parts; ++part) {
    const Point to = hand.Move(
        OnStroke(stroke, static_cast<float>(part) / static_cast<float>(parts)));
    canvas.Draw(from, to, pen);
    from = to;
  }
}

// A short faint scratch anywhere.
void DrawScratch(Draws& draws, Canvas& canvas) {
  const Point from = {draws.Between(0, kSide), draws.Between(0, kSide)};
  const Point to = {from.x + draws.Between(-6, 6),
                    from.y + draws.Between(-6, 6)};
  canvas.Draw(from, to,
              {.radius = draws.Between(.4f, 1),
               .softness = 1,
               .ink = draws.Between(.2f, .7f)});
}

}  // namespace

uint32_t DrawDigit(uint64_t key, std::span<uint8_t> pixels) {
  TERSE_CHECK(pixels.size() == kDigitPixels);
  Draws draws(MixKey({key, 0}));
  const uint32_t digit = draws.Below(10);
  const auto styles = GlyphStyles(digit);
  const auto style = styles[draws.Below(static_cast<uint32_t>(styles.size()))];
  const Hand hand(draws);
  const Pen pen = {.radius = draws.Between(.7f, 1.8f),
                   .softness = draws.Between(.8f, 1.8f),
                   .ink = draws.Between(.6f, 1)};
  Canvas canvas;
  for (const Stroke& stroke : style) {
    DrawStroke(stroke, hand, pen, draws, canvas);
  }
  const uint32_t scratches = draws.Below(3);
  for (uint32_t i = 0; i < scratches; ++i) DrawScratch(draws, canvas);

  const float grain = draws.Between(0, .16f);
  const uint64_t grain_key = MixKey({key, 1});
  for (size_t i = 0; i < kDigitPixels; ++i) {
    const uint32_t bits = RandomBits(grain_key, i);
    // The sum of two uniform numbers, in [-1, 1].
    const float noise =
        (static_cast<float>(bits & 0xffff) + static_cast<float>(bits >> 16)) *
            (1.f / 65535) -
        1;
    const float light = canvas.light(i) + grain * noise;
    pixels[i] = static_cast<uint8_t>(std::clamp(light, 0.f, 1.f) * 255 + .5f);
  }
  return digit;
}

namespace {

class Digits final : public Dataset {
 public:
  Digits(const Data& data, uint64_t seed)
      : splits_{Kept(seed, 0, data.train_samples()),
                Kept(seed, 1, data.test_samples())} {}

  uint64_t size(Split split) const override { return Of(split).count; }

  void Read(Split split, uint64_t index, std::span<float> values,
            std::span<uint32_t> labels) const override {
    const Kept& kept = Of(split);
    TERSE_CHECK(index < kept.count && labels.size() == 1);
    const uint64_t key = MixKey({kept.key, index});
    if (kept.pixels == nullptr) {
      std::array<uint8_t, kDigitPixels> pixels;
      labels[0] = DrawDigit(key, pixels);
      PixelsToFloats(pixels, values);
      return;
    }
    const std::span pixels(&kept.pixels[index * kDigitPixels], kDigitPixels);
    std::call_once(kept.drawn[index], [&] {
      kept.digits[index] = static_cast<uint8_t>(DrawDigit(key, pixels));
    });
    PixelsToFloats(pixels, values);
    labels[0] = kept.digits[index];
  }

 private:
  // The pictures of a split, each drawn when it is first read: a worker of many
  // starts without drawing the others' share.
  struct Kept {
    Kept(uint64_t seed, uint64_t split, uint64_t samples)
        : key(DrawKey(Draw::kGenerate, {seed, split})), count(samples) {
      if (count * kDigitPixels > kKeptBytesMax) return;
      pixels = std::make_unique_for_overwrite<uint8_t[]>(count * kDigitPixels);
      digits = std::make_unique_for_overwrite<uint8_t[]>(count);
      drawn = std::make_unique<std::once_flag[]>(count);
    }

    uint64_t key;
    uint64_t count;
    std::unique_ptr<uint8_t[]> pixels;  // Null: drawn at every read.
    std::unique_ptr<uint8_t[]> digits;
    std::unique_ptr<std::once_flag[]> drawn;
  };

  const Kept& Of(Split split) const {
    return splits_[split == Split::kTrain ? 0 : 1];
  }

  std::array<Kept, 2> splits_;
};

}  // namespace

std::unique_ptr<Dataset> MakeDigits(const Data& data, uint64_t seed) {
  return std::make_unique<Digits>(data, seed);
}

}  // namespace terse
