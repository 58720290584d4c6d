// The ten digits as strokes of a pen.
#ifndef TERSE_WORKER_DATA_GLYPHS_H_
#define TERSE_WORKER_DATA_GLYPHS_H_

#include <cstdint>
#include <span>

namespace terse {

// Part of an ellipse, or a line. Coordinates are shares of the glyph's box, x
// to the right and y down; angles are turns, from the right downwards.
struct Stroke {
  enum class Kind : uint8_t { kLine, kArc };
  Kind kind;
  // Line: x and y of both ends. Arc: centre, radii, first and last angle.
  float values[6];
};

// The ways to write `digit`, each a list of strokes. Requires: digit < 10.
std::span<const std::span<const Stroke>> GlyphStyles(uint32_t digit);

}  // namespace terse

#endif  // TERSE_WORKER_DATA_GLYPHS_H_
