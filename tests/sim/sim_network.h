// A network and a clock in one thread: frames take a seeded time, so that they
// overtake each other on different connections and never on the same one.
#ifndef TERSE_TESTS_SIM_SIM_NETWORK_H_
#define TERSE_TESTS_SIM_SIM_NETWORK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/clock.h"
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
};

class SimNetwork {
 public:
  explicit SimNetwork(const SimNetworkOptions& options) : options_(options) {}

  // An endpoint that others reach at `address`; empty: it only connects.
  std::unique_ptr<Link> MakeLink(const std::string& address, FrameSink& sink);

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
  // The most that was under way at a time.
  uint64_t bytes_under_way_max() const { return bytes_under_way_max_; }

 private:
  friend class SimLink;

  // One direction of a connection; frames arrive in order.
  struct Pipe {
    FrameSink* sink = nullptr;  // Null once the receiver has gone.
    PeerId sender_as_seen{};    // The receiver's name for the sender.
    absl::Time last_arrival = absl::InfinitePast();
    bool closed = false;  // The receiver takes no more frames.
    double slowness = 1;
    // Of the receiver and of the sender: see Stall.
    std::shared_ptr<absl::Time> still_until[2];
    LinkCounters* counters = nullptr;  // The receiver's.
    // What was sent before the connection was made.
    bool connected = false;
    std::vector<std::function<void(Pipe&)>> pending;
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
  void At(absl::Time time, std::function<void()> action);

  const SimNetworkOptions options_;
  ManualClock clock_;
  uint64_t draws_ = 0;
  uint64_t events_ = 0;
  uint64_t next_peer_ = 1;
  uint64_t frames_delivered_ = 0;
  uint64_t bytes_under_way_ = 0;
  uint64_t bytes_under_way_max_ = 0;
  std::map<std::string, class SimLink*> listeners_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> queue_;
};

}  // namespace terse

#endif  // TERSE_TESTS_SIM_SIM_NETWORK_H_
