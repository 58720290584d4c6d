#include "deploy/launch/status.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/observe/http/http_server.h"
#include "common/observe/page/page.h"
#include "common/observe/status_board.h"
#include "deploy/launch/format.h"
#include "deploy/launch/run_directory.h"
#include "deploy/launch/table.h"

namespace terse {
namespace {

using nlohmann::json;

constexpr const char* kParts[] = {"compute", "encode", "wait", "decode",
                                  "apply"};

double Number(const json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::string Text(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : "";
}

json Part(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() ? *found : json();
}

// Other processes' texts must not steer the terminal.
std::string Clean(std::string text) {
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) {
      letter = ' ';
    }
  }
  return text;
}

std::string Headline(const json& status) {
  const json progress = Part(status, "progress");
  const double step = Number(progress, "step");
  const double total = Number(Part(status, "start"), "steps_total");
  const double rate = Number(progress, "steps_per_second");
  const std::string phase = Text(status, "phase");
  std::string line = absl::StrCat(Clean(Text(Part(status, "job"), "name")),
                                  ": ", Clean(phase));
  if (total > 0) {
    absl::StrAppendFormat(&line, ", step %.0f of %.0f (%s), %s", step, total,
                          FormatPercent(step / total),
                          FormatClock(Number(progress, "seconds")));
  }
  if (phase == "training" && rate > 0) {
    absl::StrAppend(&line, ", ", FormatClock((total - step) / rate), " to go");
  }
  if (phase == "failed") {
    absl::StrAppend(&line, "\n  ", Clean(Text(status, "reason")));
  }
  return line + "\n";
}

std::string WireLine(const json& progress, const char* name,
                     const char* bits_key, const char* bytes_key) {
  const double bits = Number(progress, bits_key);
  return absl::StrFormat(
      "  %-8s %s bits per element%s, %s\n", name, FormatNumber(bits),
      bits > 0
          ? absl::StrCat(" (fp32: ", FormatNumber(32 / bits), " times as much)")
          : "",
      FormatBytes(Number(progress, bytes_key)));
}

std::string TimeLine(const json& progress) {
  const json times = Part(progress, "time_ms");
  const double total = Number(times, "total");
  if (total <= 0) return "";
  std::string line = absl::StrCat("  step     ", FormatNumber(total), " ms:");
  for (const char* part : kParts) {
    absl::StrAppendFormat(&line, " %s %.0f %%%s", part,
                          100 * Number(times, part) / total,
                          part == kParts[4] ? "\n" : ",");
  }
  return line;
}

std::string CheckpointLine(const json& status) {
  const json kept = Part(status, "checkpoint");
  if (!kept.is_object()) return "";
  const double age =
      Number(Part(status, "progress"), "seconds") - Number(kept, "seconds");
  return absl::StrFormat("  kept     a checkpoint of step %.0f, %s ago\n",
                         Number(kept, "step"), FormatClock(std::max(age, 0.0)));
}

std::string WorkersTable(const json& workers) {
  if (!workers.is_array() || workers.empty()) return "";
  Table table({{"worker", true},
               {"state"},
               {"step", true},
               {"behind", true},
               {"samples/s", true},
               {"step ms", true},
               {"up", true},
               {"down", true}});
  for (const json& worker : workers) {
    table.AddRow({absl::StrCat(Number(worker, "rank")),
                  Clean(Text(worker, "state")),
                  absl::StrCat(Number(worker, "step")),
                  absl::StrCat(Number(worker, "lag_steps")),
                  FormatNumber(Number(worker, "samples_per_second")),
                  FormatNumber(Number(Part(worker, "time_ms"), "total")),
                  FormatBytes(Number(worker, "wire_bytes_up")),
                  FormatBytes(Number(worker, "wire_bytes_down"))});
  }
  return "\n" + table.ToText();
}

absl::StatusOr<json> Ask(const StatusOptions& options) {
  std::error_code none;
  if (std::filesystem::is_directory(options.address, none)) {
    return StatusOfRun(options.address);
  }
  const char* token = std::getenv("TERSE_TOKEN");
  TERSE_ASSIGN_OR_RETURN(
      const std::string answer,
      HttpGet(options.address, "/api/status", token != nullptr ? token : "",
              options.security));
  json status = json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (status.is_object()) return status;
  return WithExitCode(
      absl::DataLossError(absl::StrCat(options.address,
                                       " is no coordinator of Terse: it "
                                       "answers something else")),
      ExitCode::kBadData);
}

absl::Status ShowStatus(const StatusOptions& options) {
  const bool redraw = options.live && !options.json && isatty(STDOUT_FILENO);
  bool seen = false;
  while (true) {
    const absl::StatusOr<json> status = Ask(options);
    if (!status.ok() && seen) {
      absl::FPrintF(stderr, "terse: the coordinator has ended since\n");
      return absl::OkStatus();
    }
    if (!status.ok()) return status.status();
    seen = true;
    if (redraw) std::fputs("\x1b[H\x1b[2J", stdout);
    std::fputs(options.json ? (status->dump() + "\n").c_str()
                            : StatusText(*status).c_str(),
               stdout);
    std::fflush(stdout);
    const std::string phase = Text(*status, "phase");
    if (!options.live || phase == "finished" || phase == "failed") {
      return absl::OkStatus();
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

absl::Status WriteReportPage(const ReportOptions& options) {
  TERSE_ASSIGN_OR_RETURN(const json status, StatusOfRun(options.run_directory));
  const std::string target = options.target.empty()
                                 ? options.run_directory + "/report.html"
                                 : options.target;
  TERSE_RETURN_IF_ERROR(WriteFile(target, SavedPage(status)));
  absl::FPrintF(stderr, "terse: %s\n", target);
  return absl::OkStatus();
}

int Said(const absl::Status& status) {
  if (!status.ok()) absl::FPrintF(stderr, "terse: %s\n", status.message());
  return int(ExitCodeOf(status));
}

}  // namespace

std::string StatusText(const json& status) {
  const json progress = Part(status, "progress");
  std::string text = Headline(status);
  if (progress.is_object()) {
    absl::StrAppendFormat(&text, "  training loss %s, accuracy %s",
                          FormatNumber(Number(progress, "train_loss")),
                          FormatPercent(Number(progress, "train_accuracy")));
    const json tests = Part(status, "evaluations");
    if (tests.is_array() && !tests.empty()) {
      absl::StrAppendFormat(
          &text, "; test accuracy %s",
          FormatPercent(Number(tests.back(), "test_accuracy")));
    }
    absl::StrAppendFormat(&text, "; learning rate %s\n",
                          FormatNumber(Number(progress, "learning_rate")));
    absl::StrAppend(
        &text, WireLine(progress, "up", "bits_per_element_up", "wire_bytes_up"),
        WireLine(progress, "down", "bits_per_element_down", "wire_bytes_down"),
        TimeLine(progress));
  }
  absl::StrAppend(&text, CheckpointLine(status));
  absl::StrAppend(&text, WorkersTable(Part(status, "workers")));
  const json events = Part(status, "events");
  if (!events.is_array() || events.empty()) return text;
  absl::StrAppend(&text, "\n");
  for (size_t i = events.size() > 5 ? events.size() - 5 : 0; i < events.size();
       ++i) {
    absl::StrAppend(&text, "  ", Clean(Text(events[i], "text")), "\n");
  }
  return text;
}

absl::StatusOr<json> StatusOfRun(const std::string& run_directory) {
  TERSE_ASSIGN_OR_RETURN(const std::string lines,
                         ReadFile(run_directory + "/metrics.jsonl"));
  const absl::StatusOr<std::string> yaml =
      ReadFile(run_directory + "/job.yaml");
  const absl::StatusOr<std::string> machine =
      ReadFile(run_directory + "/machine.json");
  const absl::StatusOr<std::string> report =
      ReadFile(run_directory + "/report.json");
  const auto parse = [](const absl::StatusOr<std::string>& text) {
    json value = json::parse(text.value_or("null"), nullptr, false);
    return value.is_discarded() ? json() : value;
  };
  const std::string name = Text(parse(report), "job");
  StatusBoard board(name.empty() ? run_directory : name, yaml.value_or(""),
                    parse(machine));
  std::istringstream stream(lines);
  size_t events = 0;
  for (std::string line; std::getline(stream, line);) {
    const json event = json::parse(line, nullptr, false);
    if (!event.is_object()) continue;  // The last line of a killed run.
    board.OnEvent(event);
    ++events;
  }
  if (events == 0) {
    return WithExitCode(absl::DataLossError(absl::StrCat(
                            run_directory, "/metrics.jsonl holds no events")),
                        ExitCode::kBadData);
  }
  json status = board.Status();
  status["report"] = parse(report);
  return status;
}

void AddStatus(CLI::App& app, StatusOptions& options) {
  CLI::App& status = *app.add_subcommand(
      "status", "Shows a running job: step, loss, workers, bits up and down");
  status
      .add_option("address", options.address,
                  "The coordinator's --http, or a run directory")
      ->required()
      ->type_name("HOST:PORT|RUN_DIR");
  AddSecurityOptions(status, options.security);
  status.add_flag("--live", options.live, "Anew every second until it ends");
  status.add_flag("--json", options.json, "JSON in place of text");
}

void AddReport(CLI::App& app, ReportOptions& options) {
  CLI::App& report = *app.add_subcommand(
      "report", "Makes one HTML file of a run: curves, plan, wire, machine");
  report.add_option("run", options.run_directory, "The run directory")
      ->required()
      ->type_name("RUN_DIR");
  report
      .add_option("-o,--output", options.target,
                  "Where it goes; else RUN_DIR/report.html")
      ->type_name("FILE");
}

int RunStatus(const StatusOptions& options) {
  // A server that hangs up under TLS is an error like others.
  signal(SIGPIPE, SIG_IGN);
  return Said(ShowStatus(options));
}

int RunReport(const ReportOptions& options) {
  return Said(WriteReportPage(options));
}

}  // namespace terse
