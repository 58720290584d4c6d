#include "deploy/launch/kubernetes.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/config/job.h"
#include "yaml-cpp/yaml.h"

namespace terse {

// Generated from deploy/kubernetes/base.
extern const unsigned char kManifests[];
extern const size_t kManifestsBytes;

namespace {

// With "-worker-4095" behind it, a name of a pod, which is a label of DNS.
constexpr size_t kNameBytesMax = 50;

// How often a job may lose a pod. Every time all pods may end and count as
// failed.
constexpr uint32_t kLossesMax = 3;

constexpr char kTlsFolder[] = "/etc/terse-tls";
// Files of a secret are root's; fsGroup reads them.
constexpr int kOwnerAndGroup = 0440;

absl::Status BadCommandLine(const std::string& message) {
  return WithExitCode(absl::InvalidArgumentError(message),
                      ExitCode::kBadCommandLine);
}

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         absl::ascii_islower(name.front()) && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), [](char letter) {
           return absl::ascii_islower(letter) || absl::ascii_isdigit(letter) ||
                  letter == '-';
         });
}

// The job's name as Kubernetes writes names.
std::string NameOf(const Job& job) {
  std::string name = absl::AsciiStrToLower(job.name());
  for (char& letter : name) {
    if (!absl::ascii_isalnum(letter)) letter = '-';
  }
  if (name.empty() || !absl::ascii_islower(name.front())) {
    name = absl::StrCat("job-", name);
  }
  name.resize(std::min(name.size(), kNameBytesMax));
  while (name.ends_with('-')) name.pop_back();
  return name;
}

// In quotes, so that no name is read as a number or a truth.
void SetText(YAML::Node node, const std::string& text) {
  node = text;
  node.SetTag("!");
}

// As the emitter of yaml-cpp, but what was in quotes stays in quotes.
void Emit(const YAML::Node& node, YAML::Emitter& emitter) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      emitter << YAML::BeginMap;
      for (const auto& entry : node) {
        emitter << YAML::Key << entry.first.as<std::string>() << YAML::Value;
        Emit(entry.second, emitter);
      }
      emitter << YAML::EndMap;
      return;
    case YAML::NodeType::Sequence:
      emitter << YAML::BeginSeq;
      for (const YAML::Node& item : node) Emit(item, emitter);
      emitter << YAML::EndSeq;
      return;
    default:
      break;
  }
  const std::string& text = node.Scalar();
  if (text.find('\n') != std::string::npos) {
    emitter << YAML::Literal << text;
  } else if (node.Tag() == "!") {
    emitter << YAML::DoubleQuoted << text;
  } else {
    emitter << text;
  }
}

class Renderer {
 public:
  Renderer(const Job& job, const KubernetesOptions& options, std::string name)
      : job_(job), options_(options), name_(std::move(name)) {}

  std::string Render(const std::string& token) const {
    std::string text = absl::StrCat("# Job ", name_, " of Terse; ",
                                    "kubectl apply -f THIS. It holds the ",
                                    "job's token: keep it as a secret.\n");
    const std::string base(reinterpret_cast<const char*>(kManifests),
                           kManifestsBytes);
    for (YAML::Node document : YAML::LoadAll(base)) {
      FillIn(document);
      Append(document, text);
    }
    Append(ConfigMap(), text);
    Append(Secret(token), text);
    return text;
  }

 private:
  void SetLabels(YAML::Node metadata) const {
    YAML::Node labels = metadata["labels"];
    SetText(labels["app.kubernetes.io/name"], "terse");
    SetText(labels["app.kubernetes.io/instance"], name_);
    SetText(labels["app.kubernetes.io/part-of"], "terse");
    SetText(labels["app.kubernetes.io/managed-by"], "terse-launch");
  }

  // "terse-server" as "NAME-server".
  void Rename(YAML::Node node) const {
    const std::string old = node.as<std::string>();
    SetText(node, old == "terse"
                      ? name_
                      : absl::StrReplaceAll(
                            old, {{"terse-", absl::StrCat(name_, "-")}}));
  }

  void SetMetadata(YAML::Node metadata) const {
    Rename(metadata["name"]);
    if (!options_.namespace_.empty()) {
      SetText(metadata["namespace"], options_.namespace_);
    }
    SetLabels(metadata);
  }

  void FillIn(YAML::Node document) const {
    SetMetadata(document["metadata"]);
    const std::string kind = document["kind"].as<std::string>();
    if (kind == "Service") {
      SetText(document["spec"]["selector"]["app.kubernetes.io/instance"],
              name_);
    }
    if (kind == "Job") FillInJob(document["spec"]);
  }

  void FillInJob(YAML::Node spec) const {
    YAML::Node pod = spec["template"]["spec"];
    YAML::Node container = pod["containers"][0];
    const bool server = container["name"].as<std::string>() == "server";
    const uint32_t count =
        server ? ServerCount(job_) : job_.cluster().workers();
    spec["completions"] = count;
    spec["parallelism"] = count;
    spec["backoffLimit"] = kLossesMax * count;
    SetLabels(spec["template"]["metadata"]);
    Rename(pod["serviceAccountName"]);
    Rename(pod["subdomain"]);
    for (YAML::Node volume : pod["volumes"]) {
      if (volume["configMap"]) Rename(volume["configMap"]["name"]);
    }
    for (YAML::Node variable : container["env"]) {
      if (variable["valueFrom"]["secretKeyRef"]) {
        Rename(variable["valueFrom"]["secretKeyRef"]["name"]);
      }
    }
    for (YAML::Node argument : container["args"]) {
      SetText(argument, absl::StrReplaceAll(
                            argument.as<std::string>(),
                            {{"terse-server-0.terse:",
                              absl::StrCat(name_, "-server-0.", name_, ":")}}));
    }
    if (!options_.tls_secret.empty()) UseTls(pod, container);
    const std::string tag =
        options_.image_tag.empty() ? TERSE_VERSION : options_.image_tag;
    SetText(container["image"],
            absl::StrCat(options_.image_prefix, "terse-",
                         server ? "server" : "worker", ":", tag));
  }

  // As components/tls does with kustomize.
  void UseTls(YAML::Node pod, YAML::Node container) const {
    for (YAML::Node variable : container["env"]) {
      if (variable["name"].as<std::string>() != "TERSE_INSECURE") continue;
      variable["name"] = "TERSE_TLS";
      SetText(variable["value"], kTlsFolder);
    }
    YAML::Node mount;
    mount["name"] = "tls";
    mount["mountPath"] = kTlsFolder;
    mount["readOnly"] = true;
    container["volumeMounts"].push_back(mount);
    YAML::Node volume;
    volume["name"] = "tls";
    SetText(volume["secret"]["secretName"], options_.tls_secret);
    volume["secret"]["defaultMode"] = kOwnerAndGroup;
    pod["volumes"].push_back(volume);
    for (const char* probe :
         {"startupProbe", "livenessProbe", "readinessProbe"}) {
      container[probe]["httpGet"]["scheme"] = "HTTPS";
    }
  }

  YAML::Node Object(const char* kind, const char* name) const {
    YAML::Node object;
    object["apiVersion"] = "v1";
    object["kind"] = kind;
    object["metadata"]["name"] = name;
    SetMetadata(object["metadata"]);
    return object;
  }

  YAML::Node ConfigMap() const {
    YAML::Node object = Object("ConfigMap", "terse-job");
    object["data"]["job.yaml"] = PrintJob(job_);
    return object;
  }

  YAML::Node Secret(const std::string& token) const {
    YAML::Node object = Object("Secret", "terse-token");
    SetText(object["stringData"]["token"], token);
    return object;
  }

  static void Append(const YAML::Node& document, std::string& text) {
    YAML::Emitter emitter;
    Emit(document, emitter);
    absl::StrAppend(&text, "---\n", emitter.c_str(), "\n");
  }

  const Job& job_;
  const KubernetesOptions& options_;
  const std::string name_;
};

}  // namespace

absl::StatusOr<std::string> RenderKubernetes(const Job& job,
                                             const KubernetesOptions& options,
                                             const std::string& token) {
  const std::string name = options.name.empty() ? NameOf(job) : options.name;
  if (!IsName(name)) {
    return BadCommandLine(absl::StrCat(
        "--name ", name, ": a name of Kubernetes has at most ", kNameBytesMax,
        " letters a-z, digits and dashes, a letter first"));
  }
  if (job.cluster().transport() != Cluster::GRPC) {
    return BadCommandLine(
        "cluster.transport must be grpc here; for MPI there is "
        "deploy/kubernetes/mpijob");
  }
  return Renderer(job, options, name).Render(token);
}

absl::Status ApplyManifests(const std::string& manifests) {
  signal(SIGPIPE, SIG_IGN);  // A kubectl that ends early is told of below.
  std::FILE* kubectl = popen("kubectl apply -f -", "we");
  if (kubectl == nullptr) return absl::InternalError("cannot start a shell");
  std::fwrite(manifests.data(), 1, manifests.size(), kubectl);
  const int status = pclose(kubectl);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 0) return absl::OkStatus();
  if (code == 127) {
    return WithExitCode(
        absl::NotFoundError("there is no kubectl here; print the manifests "
                            "(without --apply) and apply them elsewhere"),
        ExitCode::kInputMissing);
  }
  return WithExitCode(
      absl::UnavailableError("kubectl apply failed; it says why above"),
      ExitCode::kPeerNeverCame);
}

}  // namespace terse
