// Throughput and latency of the MPI link between two processes, beside memcpy.
//   mpirun -np 2 --bind-to none bench_mpi [GIGABYTES]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/transport/inbox.h"
#include "common/transport/mpi/mpi_link.h"

namespace terse {
namespace {

constexpr absl::Duration kTimeout = absl::Minutes(2);
constexpr FrameType kData = 1;
constexpr FrameType kAnswerMe = 2;

void Serve(Inbox& inbox, Link& link) {
  while (true) {
    const auto event = inbox.Pop(absl::Now() + kTimeout);
    TERSE_CHECK(event);
    if (!event->frame) return;
    link.Admit(event->peer, kFramePayloadBytesMax);
    if (event->frame->type != kAnswerMe) continue;
    TERSE_CHECK(link.Send(event->peer, MakeFrame(kData, 0, 0, Buffer())).ok());
  }
}

double MeasurePush(Inbox& inbox, Link& link, PeerId peer, size_t bytes,
                   size_t total) {
  Buffer payload = Buffer::Allocate(bytes);
  std::memset(payload.mutable_bytes().data(), 0x5a, bytes);
  const size_t frames = std::max<size_t>(1, total / bytes);
  const size_t step = std::max<size_t>(1, (64 << 20) / bytes);
  const absl::Time start = absl::Now();
  for (size_t sent = 0; sent < frames; ++sent) {
    // A checksum each, as for real payloads.
    TERSE_CHECK(link.Send(peer, MakeFrame(kData, sent, 0, payload)).ok());
    if (sent % step != step - 1 && sent != frames - 1) continue;
    TERSE_CHECK(link.Send(peer, MakeFrame(kAnswerMe, 0, 0, Buffer())).ok());
    TERSE_CHECK(inbox.Pop(absl::Now() + kTimeout));
  }
  return static_cast<double>(frames * bytes) /
         absl::ToDoubleSeconds(absl::Now() - start);
}

// The median there and back of an empty frame after `pause`.
double MeasureRoundTrip(Inbox& inbox, Link& link, PeerId peer,
                        absl::Duration pause) {
  std::vector<double> seconds;
  for (int i = 0; i < 201; ++i) {
    absl::SleepFor(pause);
    const absl::Time start = absl::Now();
    TERSE_CHECK(link.Send(peer, MakeFrame(kAnswerMe, 0, 0, Buffer())).ok());
    TERSE_CHECK(inbox.Pop(absl::Now() + kTimeout));
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
  }
  std::nth_element(seconds.begin(), seconds.begin() + 100, seconds.end());
  return seconds[100];
}

double MeasureMemcpy(size_t bytes, size_t total) {
  std::vector<char> source(bytes, 1), target(bytes);
  const size_t copies = std::max<size_t>(1, total / bytes);
  const absl::Time start = absl::Now();
  for (size_t i = 0; i < copies; ++i) {
    source[i % bytes] = static_cast<char>(i);
    std::memcpy(target.data(), source.data(), bytes);
    // The copy must not be left out.
    asm volatile("" : : "r"(target.data()) : "memory");
  }
  return static_cast<double>(copies * bytes) /
         absl::ToDoubleSeconds(absl::Now() - start);
}

void Measure(Inbox& inbox, Link& link, size_t total) {
  const PeerId peer = link.Connect("mpi:0", kTimeout);
  TERSE_CHECK(link.Send(peer, MakeFrame(kAnswerMe, 0, 0, Buffer())).ok());
  TERSE_CHECK(inbox.Pop(absl::Now() + kTimeout));
  for (size_t bytes : {1 << 12, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24}) {
    const size_t all = std::min(total, bytes << 14);
    std::printf("push  %9zu B  %7.3f GB/s   memcpy %7.3f GB/s\n", bytes,
                1e-9 * MeasurePush(inbox, link, peer, bytes, all),
                1e-9 * MeasureMemcpy(bytes, all));
  }
  for (int pause_us : {0, 100, 1000, 20000}) {
    std::printf("there and back after %5d us: %.1f us\n", pause_us,
                1e6 * MeasureRoundTrip(inbox, link, peer,
                                       absl::Microseconds(pause_us)));
  }
  link.Close(peer);
  TERSE_CHECK(inbox.Pop(absl::Now() + kTimeout));
}

int Main(int argc, char** argv) {
  const auto total =
      static_cast<size_t>((argc > 1 ? std::atof(argv[1]) : 2.0) * 1e9);
  const auto world = StartMpi();
  if (!world.ok() || world->size != 2) {
    std::fprintf(stderr, "bench_mpi: start it with mpirun -np 2\n");
    return 2;
  }
  {
    Inbox inbox(size_t{1} << 31);
    auto link = *MakeMpiLink(
        {.listen_address = world->rank == 0 ? "mpi:0" : ""}, inbox);
    if (world->rank == 0) {
      Serve(inbox, *link);
    } else {
      Measure(inbox, *link, total);
    }
  }
  FinishMpi(true);
  return 0;
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) { return terse::Main(argc, argv); }
