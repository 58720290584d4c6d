// The status page as one file of HTML that asks nothing of any network.
#ifndef TERSE_COMMON_OBSERVE_PAGE_PAGE_H_
#define TERSE_COMMON_OBSERVE_PAGE_PAGE_H_

#include <string>

#include "nlohmann/json.hpp"

namespace terse {

// The page that polls its coordinator's /api/status.
std::string LivePage();

// The page with `status` (StatusBoard::Status) in it.
std::string SavedPage(const nlohmann::json& status);

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_PAGE_PAGE_H_
