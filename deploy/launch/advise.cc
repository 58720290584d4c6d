#include "deploy/launch/advise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/cost/candidates.h"
#include "common/plan/plan.h"
#include "deploy/launch/format.h"
#include "deploy/launch/process.h"
#include "deploy/launch/roles.h"
#include "deploy/launch/run_directory.h"
#include "deploy/launch/table.h"
#include "nlohmann/json.hpp"
#include "worker/step_work.h"

namespace terse {
namespace {

// What the worker's program measures of this machine and the job's network.
struct Measured {
  ComputeTime compute;
  Machine machine;
};

double DefaultCores() {
  return std::max(1u, std::thread::hardware_concurrency());
}

absl::StatusOr<std::string> OutputOf(const std::vector<std::string>& command,
                                     const Job& job) {
  std::string line;
  for (const auto& [name, value] : WorkerEnvironment(job)) {
    absl::StrAppend(&line, name, "=", value, " ");
  }
  absl::StrAppend(&line, ShellLine(command));
  std::FILE* const pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("cannot start a shell");
  std::string output;
  std::array<char, 4096> part;
  while (const size_t count = std::fread(part.data(), 1, part.size(), pipe)) {
    output.append(part.data(), count);
  }
  if (pclose(pipe) == 0) return output;
  return absl::InternalError(
      absl::StrCat(command[0], " --measure failed; --compute-ms does without"));
}

absl::StatusOr<Measured> MeasureMachine(const AdviseOptions& options,
                                        const Job& job) {
  Measured measured;
  measured.machine.cores = options.cores > 0 ? options.cores : DefaultCores();
  if (options.compute_ms > 0) {
    // Of a layer's three matrix products backward makes two.
    measured.compute = {.forward_ms = options.compute_ms / 3,
                        .backward_ms = options.compute_ms * 2 / 3};
    return measured;
  }
  TERSE_ASSIGN_OR_RETURN(const std::string binaries,
                         FindBinaries({"terse-worker"}));
  std::vector<std::string> command = {absl::StrCat(binaries, "/terse-worker"),
                                      "--measure", options.job_path};
  for (const std::string& override : options.overrides) {
    command.insert(command.end(), {"--set", override});
  }
  if (!options.data_directory.empty()) {
    command.insert(command.end(), {"--data-dir", options.data_directory});
  }
  TERSE_ASSIGN_OR_RETURN(const std::string text, OutputOf(command, job));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return absl::InternalError("terse-worker --measure wrote no JSON");
  }
  measured.compute = {.forward_ms = json.value("forward_ms", 0.0),
                      .backward_ms = json.value("backward_ms", 0.0)};
  measured.machine.wire_ns_per_byte = json.value("wire_ns_per_byte", 0.0);
  measured.machine.round_trip_ms = json.value("round_trip_ms", 0.0);
  return measured;
}

Layout LayoutOf(const AdviseOptions& options, const Job& job) {
  return {.workers = job.cluster().workers(),
          .servers = ServerCount(job),
          .shared_hosts = !options.own_hosts};
}

std::vector<StepCost> CostsOf(const StepWork& work, const Measured& measured,
                              const Layout& layout,
                              const std::vector<double>& gbits) {
  std::vector<StepCost> costs;
  for (const double gbit : gbits) {
    Machine machine = measured.machine;
    machine.link_gbit = gbit;
    costs.push_back(PredictStep(work, measured.compute, machine, layout));
  }
  return costs;
}

// From 10 Mbit/s to 100 Gbit/s, ten points a decade.
std::vector<std::pair<double, double>> CurveOf(const StepWork& work,
                                               const Measured& measured,
                                               const Layout& layout) {
  std::vector<double> gbits;
  for (int i = -20; i <= 20; ++i) gbits.push_back(std::pow(10, i / 10.0));
  const std::vector<StepCost> costs = CostsOf(work, measured, layout, gbits);
  std::vector<std::pair<double, double>> curve;
  for (size_t i = 0; i < gbits.size(); ++i) {
    curve.emplace_back(gbits[i], costs[i].step_ms);
  }
  return curve;
}

// The codecs to compare, none and fp16 always first.
absl::StatusOr<std::vector<GradientCodec>> CodecsOf(
    const AdviseOptions& options, const Job& job) {
  std::vector<GradientCodec> codecs;
  for (const char* name : {"none", "fp16"}) {
    TERSE_ASSIGN_OR_RETURN(codecs.emplace_back(), ParseCodec(name));
  }
  std::vector<GradientCodec> more;
  for (const std::string& name : options.codecs) {
    TERSE_ASSIGN_OR_RETURN(more.emplace_back(), ParseCodec(name));
  }
  if (more.empty()) more = Candidates(job);
  if (!IsAuto(job) && options.codecs.empty()) {
    more.push_back(job.compress().gradient());
  }
  for (const GradientCodec& codec : more) {
    const bool known = std::any_of(
        codecs.begin(), codecs.end(), [&](const GradientCodec& other) {
          return other.SerializeAsString() == codec.SerializeAsString();
        });
    if (!known) codecs.push_back(codec);
  }
  return codecs;
}

absl::StatusOr<std::vector<CodecAdvice>> MakeAdvice(
    const AdviseOptions& options, const Job& job, const Measured& measured) {
  TERSE_ASSIGN_OR_RETURN(const std::vector<GradientCodec> codecs,
                         CodecsOf(options, job));
  const Layout layout = LayoutOf(options, job);
  std::vector<CodecAdvice> advice;
  for (const GradientCodec& codec : codecs) {
    const Job with = WithGradient(job, codec);
    TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(with));
    TERSE_ASSIGN_OR_RETURN(const StepWork work, MeasureStepWork(with));
    const auto parameters = static_cast<double>(plan.ParameterCount());
    const auto bits = [&](uint64_t bytes) {
      return 8 * static_cast<double>(bytes) / parameters;
    };
    CodecAdvice row = {.codec = PrintCodec(codec),
                       .bits_up = bits(work.bytes_up),
                       .bits_down = bits(work.bytes_down),
                       .work = work,
                       .costs = CostsOf(work, measured, layout, options.gbits),
                       .curve = CurveOf(work, measured, layout)};
    const auto below = [&](size_t other) {
      return PaysBelowGbit(work, advice[other].work, measured.compute,
                           measured.machine, layout);
    };
    if (!advice.empty()) row.pays_below_fp32 = below(0);
    if (advice.size() > 1) row.pays_below_fp16 = below(1);
    advice.push_back(std::move(row));
  }
  return advice;
}

std::string HeadText(const Job& job, const Measured& measured,
                     const Layout& layout) {
  return absl::StrFormat(
      "%s: forward %.1f ms, backward %.1f ms; a byte on the wire costs %.2f ns "
      "of a core at either\nend; %d workers, %d servers%s, %g cores a host\n\n",
      job.name(), measured.compute.forward_ms, measured.compute.backward_ms,
      measured.machine.wire_ns_per_byte, layout.workers, layout.servers,
      layout.shared_hosts ? " on the workers' hosts" : " on hosts of their own",
      measured.machine.cores);
}

std::string AdviceText(const AdviseOptions& options,
                       const std::vector<CodecAdvice>& advice) {
  std::vector<TableColumn> columns = {{.title = "gradient", .shrinkable = true},
                                      {.title = "bits up", .right = true},
                                      {.title = "down", .right = true},
                                      {.title = "encode", .right = true},
                                      {.title = "add", .right = true},
                                      {.title = "update", .right = true},
                                      {.title = "decode", .right = true}};
  for (const double gbit : options.gbits) {
    columns.push_back(
        {.title = absl::StrFormat("%g Gb/s", gbit), .right = true});
  }
  columns.push_back({.title = "pays, fp32", .right = true});
  columns.push_back({.title = "pays, fp16", .right = true});
  Table table(columns);
  for (size_t i = 0; i < advice.size(); ++i) {
    const CodecAdvice& row = advice[i];
    std::vector<std::string> cells = {row.codec, FormatNumber(row.bits_up),
                                      FormatNumber(row.bits_down)};
    for (const double ms : {row.work.encode_ms, row.work.add_ms,
                            row.work.close_ms, row.work.decode_ms}) {
      cells.push_back(FormatNumber(ms));
    }
    for (const StepCost& cost : row.costs) {
      cells.push_back(FormatNumber(cost.step_ms));
    }
    cells.push_back(i == 0 ? "-" : PaysText(row.pays_below_fp32));
    cells.push_back(i == 1 ? "-" : i == 0 ? "" : PaysText(row.pays_below_fp16));
    table.AddRow(std::move(cells));
  }
  std::string text =
      absl::StrCat(table.ToText(140),
                   "\nencode, add (of one worker), update and decode: ms of "
                   "one core a step. "
                   "At each link rate:\nms a step, predicted. pays: at link "
                   "rates (Gbit/s) at "
                   "which a step is faster than with fp32, fp16.\n");
  for (size_t g = 0; g < options.gbits.size(); ++g) {
    const auto best =
        std::min_element(advice.begin(), advice.end(),
                         [g](const CodecAdvice& a, const CodecAdvice& b) {
                           return a.costs[g].step_ms < b.costs[g].step_ms;
                         });
    absl::StrAppendFormat(&text, "at %g Gbit/s: %s (%s)\n", options.gbits[g],
                          best->codec, BoundOf(best->costs[g]));
  }
  return text;
}

nlohmann::json CostJson(double gbit, const StepCost& cost) {
  return {{"gbit", gbit},
          {"step_ms", cost.step_ms},
          {"worker_ms", cost.worker_ms},
          {"processor_ms", cost.processor_ms},
          {"wire_ms", cost.wire_ms},
          {"server_ms", cost.server_ms},
          {"bound", BoundOf(cost)}};
}

nlohmann::json MachineJson(const Measured& measured) {
  return {{"forward_ms", measured.compute.forward_ms},
          {"backward_ms", measured.compute.backward_ms},
          {"wire_ns_per_byte", measured.machine.wire_ns_per_byte},
          {"round_trip_ms", measured.machine.round_trip_ms},
          {"cores", measured.machine.cores}};
}

nlohmann::json PaysJson(const std::optional<double>& below) {
  if (!below) return 0;
  return std::isinf(*below) ? nlohmann::json(nullptr) : nlohmann::json(*below);
}

nlohmann::json AdviceJson(const AdviseOptions& options,
                          const Measured& measured,
                          const std::vector<CodecAdvice>& advice) {
  nlohmann::json rows = nlohmann::json::array();
  for (const CodecAdvice& row : advice) {
    nlohmann::json steps = nlohmann::json::array();
    for (size_t g = 0; g < row.costs.size(); ++g) {
      steps.push_back(CostJson(options.gbits[g], row.costs[g]));
    }
    nlohmann::json curve = nlohmann::json::array();
    for (const auto& [gbit, ms] : row.curve) {
      curve.push_back({{"gbit", gbit}, {"step_ms", ms}});
    }
    rows.push_back({{"codec", row.codec},
                    {"curve", std::move(curve)},
                    {"bits_per_element_up", row.bits_up},
                    {"bits_per_element_down", row.bits_down},
                    {"encode_ms", row.work.encode_ms},
                    {"add_ms", row.work.add_ms},
                    {"update_ms", row.work.close_ms},
                    {"decode_ms", row.work.decode_ms},
                    {"pays_below_gbit_fp32", PaysJson(row.pays_below_fp32)},
                    {"pays_below_gbit_fp16", PaysJson(row.pays_below_fp16)},
                    {"steps", std::move(steps)}});
  }
  return {{"schema_version", 1},
          {"kind", "advice"},
          {"machine", MachineJson(measured)},
          {"codecs", std::move(rows)}};
}

absl::Status Print(const AdviseOptions& options, const std::string& text,
                   const nlohmann::json& json) {
  const std::string lines = json.dump(2) + "\n";
  std::fputs(options.json_path == "-" ? lines.c_str() : text.c_str(), stdout);
  if (options.json_path.empty() || options.json_path == "-") {
    return absl::OkStatus();
  }
  return WriteFile(options.json_path, lines);
}

absl::Status Advise(const AdviseOptions& options) {
  TERSE_ASSIGN_OR_RETURN(const Job job,
                         ReadJobFile(options.job_path, options.overrides));
  TERSE_ASSIGN_OR_RETURN(const Measured measured, MeasureMachine(options, job));
  TERSE_ASSIGN_OR_RETURN(const std::vector<CodecAdvice> advice,
                         MakeAdvice(options, job, measured));
  return Print(options,
               absl::StrCat(HeadText(job, measured, LayoutOf(options, job)),
                            AdviceText(options, advice)),
               AdviceJson(options, measured, advice));
}

// The job with each number of workers and servers that is asked for.
absl::StatusOr<std::vector<Job>> SizesOf(const AdviseOptions& options,
                                         const Job& job) {
  std::vector<uint32_t> workers = options.workers;
  if (workers.empty()) workers = {job.cluster().workers()};
  std::vector<uint32_t> servers;
  for (const std::string& text : options.servers) {
    uint32_t& count = servers.emplace_back(0);
    if (text == "colocated") continue;
    if (!absl::SimpleAtoi(text, &count) || count == 0) {
      return WithExitCode(
          absl::InvalidArgumentError(absl::StrCat(
              "--servers: ", text, " is neither a number nor colocated")),
          ExitCode::kBadCommandLine);
    }
  }
  if (servers.empty()) servers = {job.cluster().servers()};
  std::vector<Job> sizes;
  for (const uint32_t w : workers) {
    for (const uint32_t s : servers) {
      Job size = job;
      size.mutable_cluster()->set_workers(w);
      size.mutable_cluster()->set_servers(s);
      sizes.push_back(std::move(size));
    }
  }
  return sizes;
}

absl::Status PlanSizes(const AdviseOptions& options) {
  TERSE_ASSIGN_OR_RETURN(const Job job,
                         ReadJobFile(options.job_path, options.overrides));
  TERSE_ASSIGN_OR_RETURN(const std::vector<Job> sizes, SizesOf(options, job));
  TERSE_ASSIGN_OR_RETURN(const Measured measured, MeasureMachine(options, job));
  std::vector<GradientCodec> codecs;
  for (const std::string& name : options.codecs) {
    TERSE_ASSIGN_OR_RETURN(codecs.emplace_back(), ParseCodec(name));
  }
  if (codecs.empty()) {
    codecs = IsAuto(job)
                 ? Candidates(job)
                 : std::vector<GradientCodec>{job.compress().gradient()};
  }
  Table table({{.title = "workers", .right = true},
               {.title = "servers", .right = true},
               {.title = "Gb/s", .right = true},
               {.title = "gradient", .shrinkable = true},
               {.title = "step ms", .right = true},
               {.title = "bound by"},
               {.title = "samples/s", .right = true},
               {.title = "efficiency", .right = true}});
  nlohmann::json rows = nlohmann::json::array();
  const double alone_ms =
      measured.compute.forward_ms + measured.compute.backward_ms;
  for (const Job& size : sizes) {
    const Layout layout = LayoutOf(options, size);
    for (const GradientCodec& codec : codecs) {
      TERSE_ASSIGN_OR_RETURN(const StepWork work,
                             MeasureStepWork(WithGradient(size, codec)));
      const std::string name = PrintCodec(codec);
      const std::vector<StepCost> costs =
          CostsOf(work, measured, layout, options.gbits);
      for (size_t g = 0; g < costs.size(); ++g) {
        const double samples =
            1e3 * layout.workers * job.train().batch_size() / costs[g].step_ms;
        const double efficiency = alone_ms / costs[g].step_ms;
        table.AddRow({absl::StrCat(layout.workers),
                      absl::StrCat(layout.servers),
                      FormatNumber(options.gbits[g]), name,
                      FormatNumber(costs[g].step_ms), BoundOf(costs[g]),
                      FormatNumber(samples), FormatPercent(efficiency)});
        nlohmann::json row = CostJson(options.gbits[g], costs[g]);
        row.update({{"workers", layout.workers},
                    {"servers", layout.servers},
                    {"codec", name},
                    {"samples_per_second", samples},
                    {"efficiency", efficiency}});
        rows.push_back(std::move(row));
      }
    }
  }
  const std::string text = absl::StrCat(
      absl::StrFormat("%s: forward %.1f ms, backward %.1f ms, %g cores a host; "
                      "efficiency: of these the share\nin a step\n\n",
                      job.name(), measured.compute.forward_ms,
                      measured.compute.backward_ms, measured.machine.cores),
      table.ToText(110));
  return Print(options, text,
               {{"schema_version", 1},
                {"kind", "plan"},
                {"machine", MachineJson(measured)},
                {"plan", std::move(rows)}});
}

void AddCommon(CLI::App& command, AdviseOptions& options) {
  command.add_option("job", options.job_path, "The job file (YAML)")
      ->required()
      ->type_name("JOB.yaml");
  command.add_option("--set", options.overrides, "Sets a value of the job")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command
      .add_option("--codec", options.codecs,
                  "Gradients to look at, in place of compress.auto.candidates; "
                  "may be repeated")
      ->type_name("NAME[:k=v,...]")
      ->expected(1)
      ->take_all();
  command.add_option("--gbit", options.gbits, "Rates of each host's link")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->type_name("N,N...");
  command.add_option("--cores", options.cores, "Of each host; else those here")
      ->check(CLI::PositiveNumber);
  command.add_flag("--own-hosts", options.own_hosts,
                   "Servers run on hosts of their own, not on the workers'");
  command
      .add_option("--compute-ms", options.compute_ms,
                  "Forward and backward of a worker's step; else measured here")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--data-dir", options.data_directory,
                  "Where the data files lie")
      ->type_name("DIR");
  command
      .add_option("--json", options.json_path,
                  "Writes JSON here; -: to stdout, in place of the table")
      ->type_name("FILE");
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  absl::FPrintF(stderr, "terse: %s\n", status.message());
  return int(ExitCodeOf(status));
}

}  // namespace

std::string PaysText(const std::optional<double>& below_gbit) {
  if (!below_gbit) return "never";
  if (std::isinf(*below_gbit)) return "always";
  return absl::StrCat("below ", FormatNumber(*below_gbit));
}

void AddAdvise(CLI::App& bench, AdviseOptions& options) {
  AddCommon(*bench.add_subcommand(
                "advise",
                "Which codec makes this job's steps fast, and below which link "
                "rate each pays, from rates measured here"),
            options);
}

void AddPlan(CLI::App& app, AdviseOptions& options) {
  CLI::App& plan = *app.add_subcommand(
      "plan",
      "Predicts a job's step time for numbers of workers, servers and link "
      "rates that are not at hand");
  AddCommon(plan, options);
  plan.add_option("--workers", options.workers, "Numbers of workers")
      ->delimiter(',')
      ->check(CLI::Range(1u, 4096u))
      ->type_name("N,N...");
  plan.add_option("--servers", options.servers,
                  "Numbers of servers, or colocated")
      ->delimiter(',')
      ->type_name("N,N...");
}

int RunAdvise(const AdviseOptions& given) {
  AdviseOptions options = given;
  if (options.gbits.empty()) options.gbits = {0.1, 1, 10, 25};
  return Report(Advise(options));
}

int RunPlan(const AdviseOptions& given) {
  AdviseOptions options = given;
  if (options.gbits.empty()) options.gbits = {1, 10, 25, 100};
  return Report(PlanSizes(options));
}

}  // namespace terse
