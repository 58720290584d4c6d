// Numbers for people.
#ifndef TERSE_DEPLOY_LAUNCH_FORMAT_H_
#define TERSE_DEPLOY_LAUNCH_FORMAT_H_

#include <string>

namespace terse {

// "813 B", "4.21 kB", "83.1 MB", "1.93 GB": three digits, powers of 1000.
std::string FormatBytes(double bytes);

// "0:07", "12:40", "3:05:09".
std::string FormatClock(double seconds);

// Three significant digits without an exponent where people would write none:
// "0.0312", "81.3", "1240".
std::string FormatNumber(double value);

// "1 worker", "2 workers".
std::string FormatCount(double count, const std::string& noun);

// "97.12 %" of 0.9712.
std::string FormatPercent(double share);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_FORMAT_H_
