// Throughput of the gRPC link over loopback, beside that of memcpy: Gbit/s of
// payload (both directions added) and processor seconds per gigabyte, both
// sides included. bench_link [GIGABYTES]
// [CHUNK_BYTES] [FRAME_BYTES]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/processor_time.h"
#include "common/base/status.h"
#include "common/transport/grpc/grpc_link.h"

namespace terse {
namespace {

// Counts what comes and admits everybody.
class CountingSink final : public FrameSink {
 public:
  absl::Status OnFrame(PeerId peer, Frame frame) override {
    MutexLock lock(mutex_);
    if (link != nullptr) link->Admit(peer, kFramePayloadBytesMax);
    peer_ = peer;
    bytes_ += frame.payload.size();
    ++frames_;
    changed_.NotifyAll();
    return absl::OkStatus();
  }
  void OnPeerLost(PeerId, const absl::Status& reason) override {
    MutexLock lock(mutex_);
    lost_ = reason;
    changed_.NotifyAll();
  }
  // Waits until `frames` have come in all.
  void Await(size_t frames) {
    MutexLock lock(mutex_);
    while (frames_ < frames) {
      TERSE_CHECK(lost_.ok());
      changed_.Wait(mutex_);
    }
  }
  PeerId peer() {
    MutexLock lock(mutex_);
    return peer_;
  }

  Link* link = nullptr;

 private:
  Mutex mutex_;
  CondVar changed_;
  PeerId peer_{};
  size_t bytes_ = 0;
  size_t frames_ = 0;
  absl::Status lost_;
};

struct Options {
  std::string address;
  size_t chunk_bytes;
  size_t frame_bytes;
  size_t total_bytes;
  bool both_ways;
};

void Report(const char* what, const Options& options, double bytes,
            double seconds, double cpu_seconds) {
  std::printf("%-12s %-9s %9zu B  %6.2f Gbit/s  %5.2f CPU s/GB\n", what,
              options.both_ways ? "both ways" : "one way", options.frame_bytes,
              bytes * 8e-9 / seconds, cpu_seconds / (bytes * 1e-9));
  std::fflush(stdout);
}

void MeasureLink(const char* what, const Options& options) {
  CountingSink server_sink, client_sink;
  const GrpcLinkOptions server_options{.listen_address = options.address,
                                       .chunk_bytes = options.chunk_bytes};
  auto server = *MakeGrpcLink(server_options, server_sink);
  server_sink.link = server.get();
  auto client =
      *MakeGrpcLink({.chunk_bytes = options.chunk_bytes}, client_sink);
  const PeerId peer = client->Connect(server->Address(), absl::Seconds(10));
  TERSE_CHECK(client->Send(peer, MakeFrame(1, 0, 0, Buffer())).ok());
  server_sink.Await(1);
  Buffer payload = Buffer::Allocate(options.frame_bytes);
  std::memset(payload.mutable_bytes().data(), 0x5a, payload.size());
  const size_t frames = options.total_bytes / options.frame_bytes;
  const absl::Time start = absl::Now();
  const double cpu_start = ProcessorSeconds();
  // As a step does: everything is queued, then everything is awaited.
  const size_t step = std::max<size_t>(1, (64 << 20) / options.frame_bytes);
  for (size_t sent = 0; sent < frames; sent += step) {
    for (size_t i = sent; i < std::min(frames, sent + step); ++i) {
      // A checksum each, as for real payloads.
      TERSE_CHECK(client->Send(peer, MakeFrame(1, i, 0, payload)).ok());
      if (options.both_ways) {
        TERSE_CHECK(
            server->Send(server_sink.peer(), MakeFrame(1, i, 0, payload)).ok());
      }
    }
    server_sink.Await(1 + std::min(frames, sent + step));
    if (options.both_ways) client_sink.Await(std::min(frames, sent + step));
  }
  const double ways = options.both_ways ? 2 : 1;
  Report(what, options, ways * static_cast<double>(frames * payload.size()),
         absl::ToDoubleSeconds(absl::Now() - start),
         ProcessorSeconds() - cpu_start);
}

void MeasureMemcpy(const Options& options) {
  std::vector<char> source(options.frame_bytes, 1), target(options.frame_bytes);
  const size_t copies = options.total_bytes / options.frame_bytes;
  const absl::Time start = absl::Now();
  const double cpu_start = ProcessorSeconds();
  for (size_t i = 0; i < copies; ++i) {
    source[i % source.size()] = static_cast<char>(i);
    std::memcpy(target.data(), source.data(), source.size());
    // The copy must not be left out.
    asm volatile("" : : "r"(target.data()) : "memory");
  }
  Report("memcpy", options, static_cast<double>(copies * source.size()),
         absl::ToDoubleSeconds(absl::Now() - start),
         ProcessorSeconds() - cpu_start);
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  using namespace terse;
  const size_t total = (argc > 1 ? std::atof(argv[1]) : 2.0) * 1e9;
  const size_t chunk = argc > 2 ? std::strtoull(argv[2], nullptr, 10)
                                : GrpcLinkOptions().chunk_bytes;
  std::vector<size_t> sizes = {1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24};
  if (argc > 3) sizes = {std::strtoull(argv[3], nullptr, 10)};
  for (size_t bytes : sizes) {
    Options options{
        .chunk_bytes = chunk, .frame_bytes = bytes, .total_bytes = total};
    MeasureMemcpy(options);
    for (bool both_ways : {false, true}) {
      options.both_ways = both_ways;
      options.address = "127.0.0.1:0";
      MeasureLink("grpc tcp", options);
      options.address = "unix:/tmp/terse_bench_link.socket";
      MeasureLink("grpc unix", options);
    }
  }
}
