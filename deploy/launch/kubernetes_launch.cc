#include "deploy/launch/kubernetes_launch.h"

#include <cstdio>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "deploy/launch/roles.h"

namespace terse {
namespace {

absl::Status Launch(const std::string& job_path,
                    const std::vector<std::string>& overrides,
                    const KubernetesLaunch& options) {
  TERSE_ASSIGN_OR_RETURN(const Job job, ReadJobFile(job_path, overrides));
  // Nothing starts for a job whose model does not fit together.
  TERSE_RETURN_IF_ERROR(MakePlan(job).status());
  if (IsColocated(job)) {
    return WithExitCode(
        absl::InvalidArgumentError(
            "cluster.servers: colocated: on Kubernetes servers are pods of "
            "their own; give a number"),
        ExitCode::kBadJob);
  }
  TERSE_ASSIGN_OR_RETURN(const std::string token, MakeToken());
  TERSE_ASSIGN_OR_RETURN(const std::string manifests,
                         RenderKubernetes(job, options.manifests, token));
  if (options.apply) return ApplyManifests(manifests);
  std::fputs(manifests.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddKubernetes(CLI::App& launch, KubernetesLaunch& options) {
  CLI::Option* kubernetes = launch.add_flag(
      "--kubernetes", options.wanted,
      "Prints the job's manifests: two Indexed Jobs, a service");
  launch
      .add_option("--name", options.manifests.name,
                  "Of the objects of Kubernetes; else the job's")
      ->type_name("NAME")
      ->needs(kubernetes);
  launch
      .add_option("--namespace", options.manifests.namespace_,
                  "Of the objects; else kubectl's")
      ->type_name("NAMESPACE")
      ->needs(kubernetes);
  launch
      .add_option("--image-prefix", options.manifests.image_prefix,
                  "Before terse-server and terse-worker: registry.example/")
      ->type_name("PREFIX")
      ->needs(kubernetes);
  launch
      .add_option("--image-tag", options.manifests.image_tag,
                  "Of the images; else this version")
      ->type_name("TAG")
      ->needs(kubernetes);
  launch
      .add_option("--tls-secret", options.manifests.tls_secret,
                  "A Secret with ca.crt, tls.crt and tls.key: connections are "
                  "encrypted with them; else plaintext within the cluster")
      ->type_name("NAME")
      ->needs(kubernetes);
  launch
      .add_flag("--apply", options.apply,
                "Hands the manifests to kubectl apply")
      ->needs(kubernetes);
}

int LaunchOnKubernetes(const std::string& job_path,
                       const std::vector<std::string>& overrides,
                       const KubernetesLaunch& options) {
  const absl::Status status = Launch(job_path, overrides, options);
  if (!status.ok()) {
    absl::FPrintF(stderr, "terse: %s\n", status.message());
  }
  return int(ExitCodeOf(status));
}

}  // namespace terse
