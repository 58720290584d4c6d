// terse-comm: what `terse bench comm` runs. Servers and workers are threads of
// this process, or ranks of MPI, or processes on several machines (--serve,
// --connect), which must be given the same cases.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/transport/grpc/grpc_link.h"
#include "common/transport/joined_link.h"
#include "common/transport/memory_link.h"
#include "common/wire/role_link.h"
#include "deploy/comm/comm_report.h"
#include "deploy/comm/paced_link.h"
#include "deploy/launch/bench_input.h"

namespace terse {
namespace {

struct Flags {
  std::string min_bytes = "256K", max_bytes = "64M";
  uint32_t step_factor = 4;
  uint32_t aggregate = 1;
  uint32_t iterations = 20, warmup_iterations = 5;
  bool continuous = false;
  bool check = true;
  std::string pattern = "pushpull", transport = "grpc";
  std::vector<std::string> codecs;
  uint32_t servers = 1, workers = 2;
  double emulate_gbit = 0;
  std::string json_path;
  std::string serve, connect;
  uint32_t index = 0;
  TransportSecurity security;
  std::vector<std::string> command_line;
};

struct Endpoint {
  Inbox inbox{size_t{1} << 31};
  std::unique_ptr<PacedSink> paced;
  std::unique_ptr<Link> link;
};

absl::Status BadFlag(const std::string& message) {
  return WithExitCode(absl::InvalidArgumentError(message),
                      ExitCode::kBadCommandLine);
}

CommPattern ParsePattern(const std::string& name) {
  if (name == "push") return CommPattern::kPush;
  if (name == "pull") return CommPattern::kPull;
  if (name == "allreduce") return CommPattern::kAllReduce;
  return CommPattern::kPushPull;
}

class Bench {
 public:
  explicit Bench(Flags flags) : flags_(std::move(flags)) {}

  absl::Status Run() {
    if (colocated()) flags_.servers = flags_.workers;
    TERSE_RETURN_IF_ERROR(MakeCases());
    if (flags_.transport == "mpi") return RunMpiRank();
    if (colocated() && flags_.serve.empty() != flags_.connect.empty()) {
      return BadFlag(
          "in --pattern allreduce every process is a worker and a server: it "
          "needs --serve and --connect");
    }
    if (!flags_.serve.empty() && !colocated()) {
      return Serve(flags_.index, flags_.serve);
    }
    if (!flags_.connect.empty()) {
      servers_ = absl::StrSplit(flags_.connect, ',');
      for (const std::string& server : servers_) {
        TERSE_RETURN_IF_ERROR(CheckSecurity(flags_.security, server));
      }
      if (servers_.size() != flags_.servers) {
        return BadFlag("--connect must name as many as --servers");
      }
      return colocated() ? RunBoth(flags_.index, flags_.serve)
                         : Work(flags_.index);
    }
    return RunThreads();
  }

 private:
  // A server in every worker's process.
  bool colocated() const { return flags_.pattern == "allreduce"; }

  absl::Status MakeCases() {
    TERSE_ASSIGN_OR_RETURN(const uint64_t min, ParseByteSize(flags_.min_bytes));
    TERSE_ASSIGN_OR_RETURN(const uint64_t max, ParseByteSize(flags_.max_bytes));
    if (min < sizeof(float) || min > max) {
      return BadFlag("-b must be 4 bytes at least, and -e not below it");
    }
    if (flags_.continuous && flags_.pattern != "pushpull" &&
        flags_.pattern != "allreduce") {
      return BadFlag(
          "--continuous needs what comes down to begin again: --pattern "
          "pushpull or allreduce");
    }
    if (flags_.codecs.empty()) flags_.codecs = {"none"};
    for (const std::string& name : flags_.codecs) {
      absl::StatusOr<GradientCodec> codec = ParseCodec(name);
      if (!codec.ok()) return BadFlag(std::string(codec.status().message()));
      for (uint64_t bytes = min; bytes <= max; bytes *= flags_.step_factor) {
        CommCase test;
        test.pattern = ParsePattern(flags_.pattern);
        test.codec = *codec;
        test.elements = bytes / sizeof(float);
        test.tensors = flags_.aggregate;
        test.iterations = flags_.iterations;
        test.warmup_iterations = flags_.warmup_iterations;
        test.continuous = flags_.continuous;
        test.check = flags_.check;
        cases_.push_back(test);
        names_.push_back(name);
      }
    }
    return absl::OkStatus();
  }

  // An endpoint of server `index`, or with no address of worker `index`.
  absl::StatusOr<std::unique_ptr<Endpoint>> Open(const std::string& address,
                                                 uint32_t index) {
    auto end = std::make_unique<Endpoint>();
    const double rate = flags_.emulate_gbit * 1e9;
    FrameSink* sink = &end->inbox;
    if (rate > 0) {
      end->paced = std::make_unique<PacedSink>(rate, end->inbox);
      sink = end->paced.get();
    }
    absl::StatusOr<std::unique_ptr<Link>> link =
        flags_.transport == "memory" ? network_.MakeLink(address, *sink)
        : flags_.transport == "mpi"
            ? MakeRoleLink("mpi", address, {}, absl::Seconds(80), *sink)
            : MakeGrpcLink(
                  {.listen_address = address, .security = flags_.security},
                  *sink);
    TERSE_RETURN_IF_ERROR(link.status());
    end->link = *std::move(link);
    if (rate > 0) {
      end->link = std::make_unique<PacedLink>(rate, std::move(end->link));
    }
    if (!colocated()) return end;
    // No wire is between the two of one process.
    const bool serves = !address.empty();
    const std::string name = absl::StrCat("beside worker ", index);
    TERSE_ASSIGN_OR_RETURN(auto inner,
                           network_.MakeLink(serves ? name : "", end->inbox));
    end->link =
        std::make_unique<JoinedLink>(std::move(end->link), std::move(inner),
                                     serves ? "" : servers_[index], name);
    return end;
  }

  std::string ListenAddress(uint32_t server) const {
    if (flags_.transport == "memory") return absl::StrCat("server", server);
    if (flags_.transport == "mpi") return absl::StrCat("mpi:", server);
    if (flags_.transport == "grpc") return "127.0.0.1:0";
    return absl::StrCat("unix:/tmp/terse-comm-", getpid(), "-", server);
  }

  absl::Status Serve(uint32_t index, const std::string& address) {
    TERSE_ASSIGN_OR_RETURN(const auto end, Open(address, index));
    std::fprintf(stderr, "server %u listens on %s\n", index,
                 end->link->Address().c_str());
    return ServeWith(index, *end);
  }

  absl::Status ServeWith(uint32_t index, Endpoint& end) {
    return ServeComm(cases_, flags_.servers, index, flags_.workers, *end.link,
                     end.inbox);
  }

  absl::Status Work(uint32_t rank) {
    TERSE_ASSIGN_OR_RETURN(const auto end, Open("", rank));
    TERSE_ASSIGN_OR_RETURN(const std::vector<CommTimes> times,
                           TimeComm(cases_, servers_, rank, flags_.workers,
                                    *end->link, end->inbox));
    return rank == 0 ? Report(times) : absl::OkStatus();
  }

  // Server and worker `index`.
  absl::Status RunBoth(uint32_t index, const std::string& address) {
    TERSE_ASSIGN_OR_RETURN(const auto end, Open(address, index));
    absl::Status served;
    std::thread server([&] {
      served = ServeWith(index, *end);
      // Workers that wait for this server see it go.
      if (!served.ok()) end->link.reset();
    });
    const absl::Status worked = Work(index);
    server.join();
    return served.ok() ? worked : served;
  }

  absl::Status RunMpiRank() {
    const uint32_t servers = colocated() ? 0 : flags_.servers;
    TERSE_ASSIGN_OR_RETURN(const RoleWorld world,
                           StartRoleMpi(servers + flags_.workers));
    if (world.rank < servers) {
      return Serve(world.rank, ListenAddress(world.rank));
    }
    for (uint32_t s = 0; s < flags_.servers; ++s) {
      servers_.push_back(ListenAddress(s));
    }
    return colocated() ? RunBoth(world.rank, servers_[world.rank])
                       : Work(world.rank - servers);
  }

  absl::Status RunThreads() {
    std::vector<std::unique_ptr<Endpoint>> ends;
    std::vector<std::thread> threads;
    std::vector<absl::Status> results(flags_.servers + flags_.workers);
    for (uint32_t s = 0; s < flags_.servers; ++s) {
      TERSE_ASSIGN_OR_RETURN(auto end, Open(ListenAddress(s), s));
      servers_.push_back(end->link->Address());
      ends.push_back(std::move(end));
    }
    for (uint32_t s = 0; s < flags_.servers; ++s) {
      threads.emplace_back([this, s, &ends, &results] {
        results[s] = ServeWith(s, *ends[s]);
        // Workers that wait for this server see it go.
        if (!results[s].ok()) ends[s]->link.reset();
      });
    }
    for (uint32_t w = 0; w < flags_.workers; ++w) {
      threads.emplace_back(
          [this, w, &results] { results[flags_.servers + w] = Work(w); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& result : results) TERSE_RETURN_IF_ERROR(result);
    return absl::OkStatus();
  }

  absl::Status Report(const std::vector<CommTimes>& times) {
    const CommContext context = {.version = TERSE_VERSION,
                                 .arguments = flags_.command_line,
                                 .transport = flags_.transport,
                                 .pattern = flags_.pattern,
                                 .servers = flags_.servers,
                                 .workers = flags_.workers,
                                 .emulated_gbit = flags_.emulate_gbit};
    std::vector<CommRow> rows;
    uint64_t wrong = 0;
    for (size_t c = 0; c < cases_.size(); ++c) {
      rows.push_back(
          MakeCommRow(cases_[c], names_[c], flags_.workers, times[c]));
      wrong += rows.back().wrong;
    }
    const std::string json = CommJson(context, rows);
    std::fputs(flags_.json_path == "-" ? json.c_str()
                                       : CommTable(context, rows).c_str(),
               stdout);
    if (!flags_.json_path.empty() && flags_.json_path != "-") {
      std::ofstream file(flags_.json_path);
      if (!(file << json << std::flush)) {
        return WithExitCode(absl::UnavailableError(absl::StrCat(
                                "cannot write ", flags_.json_path)),
                            ExitCode::kDisk);
      }
    }
    if (wrong == 0) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(wrong, " elements are wrong"));
  }

  Flags flags_;
  std::vector<CommCase> cases_;
  std::vector<std::string> names_;
  std::vector<std::string> servers_;
  MemoryNetwork network_;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("-b,--minbytes", flags.min_bytes,
                 "Smallest tensor, bytes of fp32; K, M, G are powers of 1024")
      ->capture_default_str();
  app.add_option("-e,--maxbytes", flags.max_bytes, "Largest")
      ->capture_default_str();
  app.add_option("-f,--stepfactor", flags.step_factor,
                 "From each size to the next")
      ->check(CLI::Range(2u, 1u << 30))
      ->capture_default_str();
  app.add_option("-m,--agg_iters", flags.aggregate, "Tensors under way at once")
      ->check(CLI::Range(1u, 4096u))
      ->capture_default_str();
  app.add_option("-n,--iters", flags.iterations, "Timed iterations")
      ->check(CLI::Range(1u, 1000000u))
      ->capture_default_str();
  app.add_option("-w,--warmup_iters", flags.warmup_iterations, "Before these")
      ->check(CLI::Range(0u, 1000000u))
      ->capture_default_str();
  app.add_flag("--continuous", flags.continuous,
               "A block begins its next iteration when it has come down, not "
               "when all have: throughput, where steps show latency too");
  app.add_option("-c,--check", flags.check,
                 "Compares the last results bit by bit")
      ->capture_default_str();
  app.add_option("--pattern", flags.pattern,
                 "What is timed; allreduce: every worker's process carries a "
                 "server, as with cluster.servers: colocated")
      ->check(CLI::IsMember({"push", "pull", "pushpull", "allreduce"}))
      ->capture_default_str();
  app.add_option("--transport", flags.transport,
                 "mpi: under mpirun -np SERVERS+WORKERS, of allreduce WORKERS")
      ->check(CLI::IsMember({"memory", "grpc", "unix", "mpi"}))
      ->capture_default_str();
  app.add_option("--codec", flags.codecs, "As in a job; may be repeated")
      ->type_name("NAME[:k=v,...]")
      ->expected(1)
      ->take_all();
  app.add_option("--servers", flags.servers, "How many")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_option("--workers", flags.workers, "How many")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_option("--emulate-gbit", flags.emulate_gbit,
                 "Rate of each process's wire, both ways; 0: as it is")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("-J,--json", flags.json_path,
                 "Writes JSON here; -: to stdout, in place of the table");
  app.add_option("--serve", flags.serve,
                 "Only server --index, listening on HOST:PORT");
  app.add_option("--connect", flags.connect,
                 "Only worker --index, of servers HOST:PORT,HOST:PORT...");
  AddSecurityOptions(app, flags.security);
  app.add_option("--index", flags.index, "Of --serve or --connect")
      ->capture_default_str();
}

int Main(int argc, char** argv) {
  Flags flags;
  flags.command_line.assign(argv, argv + argc);
  CLI::App app(
      "Times what servers and workers exchange. algbw is bytes of fp32 over "
      "time, what training feels; busbw counts both ways of a push-pull, and "
      "of an allreduce what each process must send; wire is what really went "
      "through worker 0's link.",
      "terse bench comm");
  AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0
                                : static_cast<int>(ExitCode::kBadCommandLine);
  }
  const absl::Status status = Bench(std::move(flags)).Run();
  if (!status.ok()) {
    std::fprintf(stderr, "terse bench comm: %s\n",
                 std::string(status.message()).c_str());
  }
  EndRoleTransport(status.ok());
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) { return terse::Main(argc, argv); }
