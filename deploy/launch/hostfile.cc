#include "deploy/launch/hostfile.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/base/string_view.h"

namespace terse {
namespace {

absl::Status BadHostfile(const std::string& message) {
  return WithExitCode(absl::InvalidArgumentError(message), ExitCode::kBadJob);
}

// Reads "slots=N" and passes over other words "key=value", which Open MPI has.
bool ReadSlots(absl::string_view word, uint32_t& slots) {
  const size_t equals = word.find('=');
  if (equals == absl::string_view::npos) return false;
  if (word.substr(0, equals) != "slots") return true;
  return absl::SimpleAtoi(word.substr(equals + 1), &slots);
}

// "[::1]:4", "h1:4", "h1", "fe80::1": a colon counts slots where it is the only
// one, or follows a bracket.
bool ReadHost(absl::string_view word, HostSlots& host) {
  const size_t colon = word.rfind(':');
  const bool counts = colon != absl::string_view::npos && colon > 0 &&
                      (word.find(':') == colon || word[colon - 1] == ']');
  host.host = std::string(counts ? word.substr(0, colon) : word);
  if (host.host.front() == '[' && host.host.back() == ']') {
    host.host = host.host.substr(1, host.host.size() - 2);
  }
  // An agent must not take a name for an option.
  if (host.host.empty() || host.host.front() == '-') return false;
  return !counts || absl::SimpleAtoi(word.substr(colon + 1), &host.slots);
}

}  // namespace

absl::StatusOr<std::vector<HostSlots>> ParseHostfile(std::string_view text,
                                                     const std::string& path) {
  std::vector<HostSlots> hosts;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    line = line.substr(0, line.find('#'));
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    HostSlots host;
    bool good = ReadHost(words[0], host);
    for (size_t i = 1; i < words.size(); ++i) {
      good = good && ReadSlots(words[i], host.slots);
    }
    if (!good || host.slots == 0 || host.slots > kWorkersMax) {
      return BadHostfile(
          absl::StrCat(path, ":", number, ": \"", absl::StrJoin(words, " "),
                       "\" is no host; write \"name slots=4\" or \"name:4\""));
    }
    const auto known = std::find_if(
        hosts.begin(), hosts.end(),
        [&](const HostSlots& other) { return other.host == host.host; });
    if (known != hosts.end()) {
      known->slots += host.slots;
    } else {
      hosts.push_back(std::move(host));
    }
  }
  if (hosts.empty()) {
    return BadHostfile(absl::StrCat(path, " names no host"));
  }
  return hosts;
}

absl::StatusOr<Placement> PlaceRoles(const std::vector<HostSlots>& hosts,
                                     uint32_t servers, uint32_t workers) {
  Placement placement;
  for (uint32_t s = 0; s < servers; ++s) {
    placement.servers.push_back(hosts[s % hosts.size()].host);
  }
  uint64_t slots = 0;
  for (const HostSlots& host : hosts) {
    slots += host.slots;
    for (uint32_t i = 0; i < host.slots; ++i) {
      if (placement.workers.size() < workers) {
        placement.workers.push_back(host.host);
      }
    }
  }
  if (placement.workers.size() == workers) return placement;
  return BadHostfile(absl::StrCat(
      "the hosts have ", slots, slots == 1 ? " slot" : " slots",
      ", the job has ", workers,
      " workers: raise slots in the hostfile or lower cluster.workers"));
}

}  // namespace terse
