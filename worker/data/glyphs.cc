#include "worker/data/glyphs.h"

#include <array>

#include "common/base/status.h"

namespace terse {
namespace {

constexpr Stroke Line(float x0, float y0, float x1, float y1) {
  return {Stroke::Kind::kLine, {x0, y0, x1, y1, 0, 0}};
}

constexpr Stroke Arc(float x, float y, float x_radius, float y_radius,
                     float first, float last) {
  return {Stroke::Kind::kArc, {x, y, x_radius, y_radius, first, last}};
}

constexpr std::array kZeroRound = {Arc(.5f, .5f, .3f, .41f, -.25f, .77f)};
constexpr std::array kZeroNarrow = {Arc(.5f, .5f, .2f, .42f, -.2f, .83f)};
constexpr std::array kZeroSlashed = {Arc(.5f, .5f, .28f, .41f, -.25f, .75f),
                                     Line(.68f, .22f, .33f, .78f)};

constexpr std::array kOneBar = {Line(.5f, .08f, .5f, .92f)};
constexpr std::array kOneFlag = {Line(.3f, .3f, .54f, .08f),
                                 Line(.54f, .08f, .52f, .92f)};
constexpr std::array kOneFoot = {Line(.33f, .26f, .52f, .08f),
                                 Line(.52f, .08f, .51f, .92f),
                                 Line(.28f, .92f, .74f, .92f)};

constexpr std::array kTwoPlain = {Arc(.48f, .32f, .26f, .23f, -.47f, .1f),
                                  Line(.69f, .45f, .22f, .91f),
                                  Line(.22f, .91f, .8f, .91f)};
constexpr std::array kTwoLooped = {Arc(.46f, .3f, .25f, .22f, -.45f, .14f),
                                   Line(.62f, .47f, .38f, .84f),
                                   Arc(.29f, .82f, .12f, .09f, -.04f, 1.f),
                                   Arc(.6f, .78f, .25f, .13f, .42f, .07f)};
constexpr std::array kTwoRound = {Arc(.47f, .33f, .27f, .25f, -.42f, .25f),
                                  Arc(.52f, .9f, .32f, .33f, -.27f, -.5f),
                                  Line(.2f, .9f, .78f, .92f)};

constexpr std::array kThreeRound = {Arc(.45f, .29f, .24f, .21f, -.42f, .25f),
                                    Arc(.45f, .71f, .29f, .21f, -.25f, .42f)};
constexpr std::array kThreeFlat = {Line(.25f, .1f, .73f, .1f),
                                   Line(.73f, .1f, .46f, .42f),
                                   Arc(.45f, .67f, .29f, .25f, -.25f, .41f)};
constexpr std::array kThreeDeep = {Arc(.42f, .27f, .26f, .18f, -.38f, .22f),
                                   Arc(.44f, .68f, .33f, .24f, -.24f, .45f)};

constexpr std::array kFourClosed = {Line(.6f, .08f, .18f, .62f),
                                    Line(.18f, .62f, .84f, .62f),
                                    Line(.62f, .08f, .62f, .92f)};
constexpr std::array kFourOpen = {Line(.28f, .1f, .22f, .52f),
                                  Line(.22f, .52f, .74f, .54f),
                                  Line(.74f, .1f, .68f, .92f)};
constexpr std::array kFourRound = {Arc(.47f, .2f, .24f, .33f, .5f, .19f),
                                   Line(.7f, .1f, .7f, .92f)};

constexpr std::array kFivePlain = {Line(.74f, .1f, .32f, .1f),
                                   Line(.32f, .1f, .28f, .46f),
                                   Arc(.46f, .67f, .29f, .25f, -.38f, .4f)};
constexpr std::array kFiveHat = {Line(.3f, .14f, .27f, .45f),
                                 Arc(.44f, .66f, .3f, .25f, -.35f, .38f),
                                 Line(.32f, .12f, .8f, .08f)};

constexpr std::array kSixRound = {Arc(.66f, .56f, .45f, .48f, -.27f, -.52f),
                                  Arc(.48f, .68f, .25f, .23f, -.5f, .52f)};
constexpr std::array kSixStraight = {Line(.62f, .07f, .27f, .6f),
                                     Arc(.49f, .7f, .25f, .21f, -.45f, .56f)};

constexpr std::array kSevenPlain = {Line(.2f, .11f, .78f, .11f),
                                    Line(.78f, .11f, .42f, .92f)};
constexpr std::array kSevenBarred = {Line(.2f, .12f, .78f, .1f),
                                     Line(.78f, .1f, .38f, .92f),
                                     Line(.34f, .5f, .74f, .5f)};
constexpr std::array kSevenHooked = {Line(.2f, .26f, .22f, .1f),
                                     Line(.22f, .1f, .77f, .12f),
                                     Arc(.97f, .94f, .46f, .85f, -.3f, -.5f)};

constexpr std::array kEightRound = {Arc(.5f, .29f, .21f, .2f, 0, 1.f),
                                    Arc(.5f, .7f, .27f, .22f, 0, 1.f)};
constexpr std::array kEightCrossed = {
    Arc(.5f, .27f, .23f, .18f, .42f, 1.08f), Line(.32f, .38f, .7f, .6f),
    Line(.7f, .37f, .3f, .6f), Arc(.5f, .73f, .25f, .2f, -.08f, .58f)};

constexpr std::array kNineStraight = {Arc(.49f, .32f, .25f, .23f, 0, 1.f),
                                      Line(.74f, .3f, .66f, .92f)};
constexpr std::array kNineCurled = {Arc(.49f, .31f, .25f, .22f, -.05f, 1.f),
                                    Arc(.36f, .44f, .39f, .48f, -.02f, .32f)};

using Style = std::span<const Stroke>;
constexpr std::array<Style, 3> kZero = {kZeroRound, kZeroNarrow, kZeroSlashed};
constexpr std::array<Style, 3> kOne = {kOneBar, kOneFlag, kOneFoot};
constexpr std::array<Style, 3> kTwo = {kTwoPlain, kTwoLooped, kTwoRound};
constexpr std::array<Style, 3> kThree = {kThreeRound, kThreeFlat, kThreeDeep};
constexpr std::array<Style, 3> kFour = {kFourClosed, kFourOpen, kFourRound};
constexpr std::array<Style, 2> kFive = {kFivePlain, kFiveHat};
constexpr std::array<Style, 2> kSix = {kSixRound, kSixStraight};
constexpr std::array<Style, 3> kSeven = {kSevenPlain, kSevenBarred,
                                         kSevenHooked};
constexpr std::array<Style, 2> kEight = {kEightRound, kEightCrossed};
constexpr std::array<Style, 2> kNine = {kNineStraight, kNineCurled};

constexpr std::array<std::span<const Style>, 10> kDigits = {
    kZero, kOne, kTwo, kThree, kFour, kFive, kSix, kSeven, kEight, kNine};

}  // namespace

std::span<const std::span<const Stroke>> GlyphStyles(uint32_t digit) {
  TERSE_CHECK(digit < kDigits.size());
  return kDigits[digit];
}

}  // namespace terse
