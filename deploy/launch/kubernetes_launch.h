// `terse launch --kubernetes`.
#ifndef TERSE_DEPLOY_LAUNCH_KUBERNETES_LAUNCH_H_
#define TERSE_DEPLOY_LAUNCH_KUBERNETES_LAUNCH_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "deploy/launch/kubernetes.h"

namespace terse {

struct KubernetesLaunch {
  bool wanted = false;
  KubernetesOptions manifests;
  bool apply = false;  // Hands the manifests to kubectl; else prints them.
};

// Adds --kubernetes and what goes with it to `launch`; parsing fills `options`,
// which must live as long as `launch`.
void AddKubernetes(CLI::App& launch, KubernetesLaunch& options);

// Returns the exit code and says errors itself. `overrides`: "a.b=c".
int LaunchOnKubernetes(const std::string& job_path,
                       const std::vector<std::string>& overrides,
                       const KubernetesLaunch& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_KUBERNETES_LAUNCH_H_
