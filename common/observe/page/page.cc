#include "common/observe/page/page.h"

#include <cstddef>
#include <string_view>

namespace terse {

// Generated from the files beside this one.
extern const unsigned char kPageTemplate[];
extern const size_t kPageTemplateBytes;

namespace {

constexpr std::string_view kPlace = "{{DATA}}";

std::string PageWith(std::string_view data) {
  std::string page(reinterpret_cast<const char*>(kPageTemplate),
                   kPageTemplateBytes);
  page.replace(page.find(kPlace), kPlace.size(), data);
  return page;
}

}  // namespace

std::string LivePage() { return PageWith("null"); }

std::string SavedPage(const nlohmann::json& status) {
  // Names in the data must not end the script element.
  std::string text;
  for (const char letter : status.dump()) {
    if (letter == '<') {
      text += "\\u003c";
    } else {
      text += letter;
    }
  }
  return PageWith(text);
}

}  // namespace terse
