// What a server is given, and what it leaves to the next one.
#ifndef TERSE_SERVER_SERVER_OPTIONS_H_
#define TERSE_SERVER_SERVER_OPTIONS_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/background.h"
#include "common/checkpoint/checkpoint.h"
#include "common/transport/link.h"
#include "nlohmann/json.hpp"
#include "proto/job.pb.h"
#include "server/codec_chooser.h"

namespace terse {

struct ServerOptions {
  uint32_t shard = 0;
  // Shard 0, the coordinator, has the job; the others get it from the
  // coordinator, at this address.
  std::optional<Job> job;
  std::string coordinator_address;
  std::string token;
  // Of this process, unlike that of any other.
  uint64_t incarnation = 0;
  absl::Duration join_timeout = absl::Seconds(300);
  // Events of the job; coordinator only.
  std::function<void(const nlohmann::json&)> on_event;
  // Takes the report of a job that has ended well, before anybody else is told
  // that it has; coordinator only.
  std::function<void(const nlohmann::json&)> on_report;
  // Where checkpoints go, known to all shards by this name; empty: nowhere.
  // Coordinator only.
  std::string checkpoint_directory;
  // What the job goes on from; nothing: from its beginning. Coordinator only.
  std::optional<FoundCheckpoint> resume;
  // Called between events, at least every second; may be empty.
  std::function<void()> on_time;
  // Writes checkpoints.
  std::unique_ptr<Background> background;
  // Of `compress.gradient: auto`: what earlier parts of the job know, and the
  // processor time of this process. Coordinator only; may be empty.
  std::shared_ptr<CodecRates> rates;
  std::function<double()> processor_seconds;
};

// What the coordinator's next server starts with, where a job goes on with
// another codec, and the frames that have come for it already.
struct NextServer {
  Job job;
  std::optional<FoundCheckpoint> resume;
  std::shared_ptr<CodecRates> rates;
  std::vector<std::pair<PeerId, Frame>> frames;

  // Before he is answered nobody says more than that he joins, and why he ends:
  // of a peer that does, nothing is held, and false returned.
  bool Hold(PeerId peer, Frame frame) {
    const auto of_peer = [peer](const auto& held) {
      return held.first == peer;
    };
    if (std::count_if(frames.begin(), frames.end(), of_peer) == 2) {
      std::erase_if(frames, of_peer);
      return false;
    }
    frames.emplace_back(peer, std::move(frame));
    return true;
  }
};

}  // namespace terse

#endif  // TERSE_SERVER_SERVER_OPTIONS_H_
