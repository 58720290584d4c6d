#include "deploy/launch/place.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {
namespace {

absl::Status Contradiction(const std::string& message) {
  return WithExitCode(absl::FailedPreconditionError(message),
                      ExitCode::kBadJob);
}

absl::Status BadCommandLine(const std::string& message) {
  return WithExitCode(absl::InvalidArgumentError(message),
                      ExitCode::kBadCommandLine);
}

// Reads variables; the first that is malformed is kept as the error.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  std::string Text(const std::string& name) const {
    const auto found = environment_.find(name);
    return found == environment_.end() ? "" : found->second;
  }

  std::optional<uint32_t> Number(const std::string& name) {
    const std::string text = Text(name);
    if (text.empty()) return std::nullopt;
    uint32_t number = 0;
    if (absl::SimpleAtoi(text, &number)) return number;
    if (status_.ok()) {
      status_ = Contradiction(absl::StrCat(name, "=", text,
                                           " is no number; correct or unset "
                                           "the variable"));
    }
    return std::nullopt;
  }

  const absl::Status& status() const { return status_; }

 private:
  const Environment& environment_;
  absl::Status status_;
};

std::optional<JobRole> RoleNamed(const std::string& name) {
  if (name == "server") return JobRole::kServer;
  if (name == "worker") return JobRole::kWorker;
  return std::nullopt;
}

bool NamesAPlace(const Place& place) {
  return place.rank || place.role || place.scheduler;
}

Place FromFlags(const PlaceFlags& flags) {
  Place place{.source = "the command line", .world_size = flags.world_size};
  place.role = RoleNamed(flags.role);
  (place.role ? place.role_rank : place.rank) = flags.rank;
  return place;
}

Place FromTerse(Reader& reader) {
  Place place{.source = "TERSE_*",
              .world_size = reader.Number("TERSE_WORLD_SIZE")};
  place.role = RoleNamed(reader.Text("TERSE_ROLE"));
  (place.role ? place.role_rank : place.rank) = reader.Number("TERSE_RANK");
  return place;
}

Place FromTorchrun(Reader& reader) {
  Place place{.source = "torchrun (RANK, WORLD_SIZE)",
              .rank = reader.Number("RANK"),
              .world_size = reader.Number("WORLD_SIZE")};
  const std::string host = reader.Text("MASTER_ADDR");
  if (host.empty()) return place;
  uint32_t port = reader.Number("MASTER_PORT").value_or(29500);
  // torchrun's own store listens there.
  if (reader.Text("TORCHELASTIC_USE_AGENT_STORE") == "True") ++port;
  place.coordinator = absl::StrCat(host, ":", port);
  return place;
}

Place FromOpenMpi(Reader& reader) {
  return {.source = "Open MPI (OMPI_COMM_WORLD_*)",
          .rank = reader.Number("OMPI_COMM_WORLD_RANK"),
          .world_size = reader.Number("OMPI_COMM_WORLD_SIZE"),
          .by_mpi = true};
}

Place FromPmi(Reader& reader) {
  return {.source = "PMI (PMI_RANK, PMI_SIZE)",
          .rank = reader.Number("PMI_RANK"),
          .world_size = reader.Number("PMI_SIZE"),
          .by_mpi = true};
}

// PMIx tells the number of processes only when asked.
Place FromPmix(Reader& reader) {
  return {.source = "PMIx (PMIX_RANK)",
          .rank = reader.Number("PMIX_RANK"),
          .by_mpi = true};
}

Place FromSlurm(Reader& reader) {
  // The batch script is numbered too, but is no task of a step.
  constexpr uint32_t kSpecialStepsMin = 0xfffffff0;
  if (reader.Number("SLURM_STEP_ID").value_or(0) >= kSpecialStepsMin) return {};
  Place place{.source = "Slurm (SLURM_PROCID, SLURM_NTASKS)",
              .rank = reader.Number("SLURM_PROCID"),
              .world_size = reader.Number("SLURM_STEP_NUM_TASKS")};
  if (!place.world_size) place.world_size = reader.Number("SLURM_NTASKS");
  std::string hosts = reader.Text("SLURM_STEP_NODELIST");
  if (hosts.empty()) hosts = reader.Text("SLURM_JOB_NODELIST");
  if (hosts.empty()) return place;
  // Jobs that share a host get ports of their own, all processes of a job the
  // same one.
  const uint32_t port =
      15000 + reader.Number("SLURM_JOB_ID").value_or(0) % 15000;
  place.coordinator = absl::StrCat(FirstSlurmHost(hosts), ":", port);
  return place;
}

Place FromDmlc(Reader& reader) {
  Place place{.source = "DMLC_*"};
  const std::string role = reader.Text("DMLC_ROLE");
  place.role = RoleNamed(role);
  place.scheduler = role == "scheduler";
  const auto servers = reader.Number("DMLC_NUM_SERVER");
  const auto workers = reader.Number("DMLC_NUM_WORKER");
  if (servers && workers) place.world_size = *servers + *workers;
  const bool server = place.role == JobRole::kServer;
  place.role_rank = reader.Number(server ? "DMLC_SERVER_ID" : "DMLC_WORKER_ID");
  if (!place.role_rank) place.role_rank = reader.Number("DMLC_TASK_ID");
  if (!place.role_rank && server && servers == 1) place.role_rank = 0;
  const std::string host = reader.Text("DMLC_PS_ROOT_URI");
  const auto port = reader.Number("DMLC_PS_ROOT_PORT");
  if (!host.empty() && port) {
    place.coordinator = absl::StrCat(host, ":", *port);
  }
  return place;
}

Place FromKubernetes(Reader& reader) {
  return {.source = "a Kubernetes Indexed Job (JOB_COMPLETION_INDEX)",
          .rank = reader.Number("JOB_COMPLETION_INDEX")};
}

std::string Describe(const Place& place) {
  std::string text = place.source;
  if (place.role) {
    absl::StrAppend(&text, " says ",
                    *place.role == JobRole::kServer ? "server" : "worker");
    if (place.role_rank) absl::StrAppend(&text, " ", *place.role_rank);
  } else if (place.rank) {
    absl::StrAppend(&text, " says rank ", *place.rank);
  }
  if (place.world_size) absl::StrAppend(&text, " of ", *place.world_size);
  return text;
}

bool Differ(const std::optional<uint32_t>& a,
            const std::optional<uint32_t>& b) {
  return a && b && *a != *b;
}

absl::Status CheckAgreement(const std::vector<Place>& places) {
  for (size_t i = 0; i < places.size(); ++i) {
    for (size_t j = i + 1; j < places.size(); ++j) {
      const Place& a = places[i];
      const Place& b = places[j];
      if (Differ(a.rank, b.rank) || Differ(a.world_size, b.world_size) ||
          (a.role && b.role &&
           (*a.role != *b.role || Differ(a.role_rank, b.role_rank)))) {
        return Contradiction(absl::StrCat(
            Describe(a), ", but ", Describe(b),
            ": unset the variables that are not about this job, or say which "
            "process this is with --rank"));
      }
    }
  }
  return absl::OkStatus();
}

// The sets that number the processes of this job, best first.
std::vector<Place> AllPlaces(Reader& reader) {
  std::vector<Place> places;
  const auto add = [&places](Place place) {
    if (NamesAPlace(place)) places.push_back(std::move(place));
  };
  add(FromTerse(reader));
  add(FromTorchrun(reader));
  add(FromOpenMpi(reader));
  add(FromPmi(reader));
  add(FromPmix(reader));
  // What Slurm and Kubernetes start may be mpirun's or torchrun's helper, which
  // numbers the processes anew.
  const bool nested =
      std::any_of(places.begin(), places.end(),
                  [](const Place& place) { return place.by_mpi; }) ||
      !reader.Text("TORCHELASTIC_RUN_ID").empty();
  if (!nested) add(FromSlurm(reader));
  add(FromDmlc(reader));
  if (places.empty()) add(FromKubernetes(reader));
  return places;
}

}  // namespace

Environment CurrentEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string::npos) continue;
    environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return environment;
}

absl::StatusOr<Place> FindPlace(const PlaceFlags& flags,
                                const Environment& environment) {
  Reader reader(environment);
  Place place = FromFlags(flags);
  if (!NamesAPlace(place)) {
    const std::vector<Place> places = AllPlaces(reader);
    TERSE_RETURN_IF_ERROR(reader.status());
    TERSE_RETURN_IF_ERROR(CheckAgreement(places));
    if (places.empty()) {
      return BadCommandLine(
          "nothing says which process of the job this is: start it with "
          "mpirun, srun or torchrun, or give --rank and --coordinator");
    }
    place = places.front();
    for (const Place& other : places) {
      if (!place.world_size) place.world_size = other.world_size;
      if (place.coordinator.empty()) place.coordinator = other.coordinator;
    }
    if (flags.world_size) place.world_size = flags.world_size;
  }
  const std::string coordinator = !flags.coordinator.empty()
                                      ? flags.coordinator
                                      : reader.Text("TERSE_COORDINATOR");
  if (!coordinator.empty()) place.coordinator = coordinator;
  return place;
}

absl::StatusOr<Assignment> AssignRole(const Place& place, uint32_t servers,
                                      uint32_t workers) {
  const uint32_t needed = servers + workers;
  const std::string job = absl::StrCat(
      "the job has ", servers, servers == 1 ? " server" : " servers", " and ",
      workers, workers == 1 ? " worker" : " workers");
  if (Differ(place.world_size, needed)) {
    return BadCommandLine(
        absl::StrCat(place.source, " has ", *place.world_size,
                     *place.world_size == 1 ? " process, " : " processes, ",
                     job, ": start ", needed, " processes",
                     *place.world_size > servers
                         ? absl::StrCat(", or give --set cluster.workers=",
                                        *place.world_size - servers)
                         : ""));
  }
  Assignment assignment;
  if (place.role) {
    assignment = {.role = *place.role, .rank = place.role_rank};
  } else if (*place.rank < servers) {
    assignment = {.role = JobRole::kServer, .rank = place.rank};
  } else {
    assignment = {.role = JobRole::kWorker, .rank = *place.rank - servers};
  }
  const bool server = assignment.role == JobRole::kServer;
  if (server && !assignment.rank) {
    return BadCommandLine(
        absl::StrCat(place.source, " says server, but not which: give --rank"));
  }
  if (assignment.rank && *assignment.rank >= (server ? servers : workers)) {
    return BadCommandLine(
        absl::StrCat(Describe(place), ", but ", job, ", counted from 0"));
  }
  return assignment;
}

std::string FirstSlurmHost(const std::string& list) {
  const size_t end = list.find_first_of(",[");
  if (end == std::string::npos || list[end] == ',') return list.substr(0, end);
  const size_t number_end = list.find_first_of(",-]", end);
  const std::string number = list.substr(
      end + 1, number_end == std::string::npos ? std::string::npos
                                               : number_end - end - 1);
  const size_t closed = list.find(']', end);
  std::string rest;
  if (closed != std::string::npos) {
    rest = list.substr(closed + 1, list.find(',', closed) - closed - 1);
  }
  // Names may have a second list: "r[1-2]n[01-08]".
  return absl::StrCat(list.substr(0, end), number,
                      rest.empty() ? "" : FirstSlurmHost(rest));
}

}  // namespace terse
