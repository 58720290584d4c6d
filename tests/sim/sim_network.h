// A network and a clock in one thread. Every frame takes a time that is drawn
// from the seed, times a factor of its connection, so that frames overtake each
// other on different connections. On the same one only more urgent frames do,
// as they do while they wait for a slow wire (Link): whenever one arrives, a
// draw says whether it is the one sent first or the most urgent. Bytes may be
// damaged on the way: such a frame is encoded, and read by the reader of the
// real transports, whose checksum decides.
#ifndef TERSE_TESTS_SIM_SIM_NETWORK_H_
#define TERSE_TESTS_SIM_SIM_NETWORK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/transport/link.h"

namespace terse {

struct SimNetworkOptions {
  uint64_t seed = 1;
  absl::Duration delay_min = absl::Microseconds(50);
  absl::Duration delay_max = absl::Milliseconds(5);
  // Each connection multiplies its delays by a factor drawn from [1, this].
  double slowness_max = 1;
  // How many of a thousand frames that may be repeated come twice, the second
  // time behind up to `repeat_behind` others; none by default.
  std::function<bool(const Frame&)> may_repeat;
  uint64_t repeats_per_mille = 0;
  absl::Duration repeat_behind = absl::Milliseconds(30);
  // How many frames of a million have one to four bytes in a row changed.
  uint64_t damaged_per_million = 0;
};

// What became of frames that were damaged; each is one of the last three.
struct SimDamage {
  uint64_t frames = 0;
  uint64_t found = 0;   // The reader ended the connection.
  uint64_t unread = 0;  // The reader still waits for the bytes it announces.
  uint64_t taken = 0;   // For whole ones: none.
};

class SimNetwork {
 public:
  explicit SimNetwork(const SimNetworkOptions& options) : options_(options) {}

  // An endpoint that others reach at `address`; empty: it only connects.
  // `on_sent` sees what it sends; empty: nobody does.
  std::unique_ptr<Link> MakeLink(
      const std::string& address, FrameSink& sink,
      std::function<void(const Frame&)> on_sent = nullptr);

  // Breaks what `link` has opened to `address`: what is under way is lost, and
  // both sides hear of it.
  void Cut(Link& link, const std::string& address);

  // Until then nothing reaches `link`, or comes from it: it stands still, or is
  // cut off. Nobody hears of it, and nothing is lost.
  void Stall(Link& link, absl::Duration duration);

  const Clock& clock() const { return clock_; }

  // Runs `action` after `delay`.
  void Schedule(absl::Duration delay, std::function<void()> action);

  // Lets the next event happen; false if there is none.
  bool Step();

  // Uniform in [0, bound), from the seed.
  uint64_t Random(uint64_t bound);

  uint64_t frames_delivered() const { return frames_delivered_; }
  const SimDamage& damage() const { return damage_; }
  // Frames that came before one that was sent sooner: on the same connection,
  // and on another to the same link.
  uint64_t overtakes_within() const { return overtakes_within_; }
  uint64_t overtakes_across() const { return overtakes_across_; }
  // The most that was under way at a time.
  uint64_t bytes_under_way_max() const { return bytes_under_way_max_; }

 private:
  friend class SimLink;

  // One direction of a connection. What arrives has its times in the order of
  // sending; at a frame's time one of those that wait arrives.
  struct Pipe {
    FrameSink* sink = nullptr;      // Null once the receiver has gone.
    class SimLink* link = nullptr;  // The sink's.
    PeerId sender_as_seen{};        // The receiver's name for the sender.
    absl::Time last_arrival = absl::InfinitePast();
    bool closed = false;  // The receiver takes no more frames.
    double slowness = 1;
    // Of the receiver and of the sender: see Stall.
    std::shared_ptr<absl::Time> still_until[2];
    LinkCounters* counters = nullptr;  // The receiver's.
    // What was sent before the connection was made.
    bool connected = false;
    std::vector<std::function<void(Pipe&)>> pending;
    struct Waiting {
      Frame frame;
      uint64_t order;                 // Of sending, in the whole network.
      std::shared_ptr<void> counted;  // See bytes_under_way_.
    };
    std::deque<Waiting> waiting;  // In the order of sending.
    uint64_t last_order = 0;      // The latest of those that have come.
    size_t payload_bytes_max = kFramePayloadBytesMax;
    // Reads since a frame was damaged, until it finds that.
    std::optional<FrameAssembler> reader;
    uint64_t damaged = 0;  // Frames that `reader` was given.
  };

  struct Event {
    absl::Time time;
    uint64_t order;  // Of scheduling; decides between equal times.
    std::function<void()> action;
    bool operator>(const Event& other) const {
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };

  // Delivers `arrival` through `pipe` after a drawn delay, behind what went
  // before.
  void Deliver(const std::shared_ptr<Pipe>& pipe,
               std::function<void(Pipe&)> arrival);
  void DeliverFrame(const std::shared_ptr<Pipe>& pipe, Frame frame);
  void TakeFrame(Pipe& to);
  // Byte by byte, as the real transports do.
  void ReadFrame(Pipe& to, const Frame& frame, bool damaged);
  void At(absl::Time time, std::function<void()> action);

  const SimNetworkOptions options_;
  ManualClock clock_;
  uint64_t draws_ = 0;
  uint64_t events_ = 0;
  uint64_t next_peer_ = 1;
  uint64_t frames_delivered_ = 0;
  uint64_t frames_sent_ = 0;
  uint64_t overtakes_within_ = 0;
  uint64_t overtakes_across_ = 0;
  SimDamage damage_;
  uint64_t bytes_under_way_ = 0;
  uint64_t bytes_under_way_max_ = 0;
  std::map<std::string, class SimLink*> listeners_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> queue_;
};

}  // namespace terse

#endif  // TERSE_TESTS_SIM_SIM_NETWORK_H_
