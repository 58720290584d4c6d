// A job as manifests of Kubernetes: those of deploy/kubernetes/base, which this
// program has in it, with the job's name, numbers, file and a token.
#ifndef TERSE_DEPLOY_LAUNCH_KUBERNETES_H_
#define TERSE_DEPLOY_LAUNCH_KUBERNETES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace terse {

struct KubernetesOptions {
  std::string name;          // Of everything; empty: from the job's name.
  std::string namespace_;    // Empty: kubectl's.
  std::string image_prefix;  // "registry.example/"; before the images' names.
  std::string image_tag;     // Empty: this version.
  // A Secret with ca.crt, tls.crt and tls.key; empty: plaintext.
  std::string tls_secret;
};

// YAML, a document for each object. `token` becomes a Secret.
// Errors: InvalidArgument (exit code 2: `name` is no name of Kubernetes; the
// job's transport is not gRPC).
absl::StatusOr<std::string> RenderKubernetes(const Job& job,
                                             const KubernetesOptions& options,
                                             const std::string& token);

// Hands manifests to `kubectl apply`.
// Errors: NotFound (exit code 66; there is no kubectl), Unavailable (exit code
// 69; it failed, and has said why).
absl::Status ApplyManifests(const std::string& manifests);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_KUBERNETES_H_
