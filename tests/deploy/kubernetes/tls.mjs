// components/tls without kustomize: its patches are applied to every kind they
// are for, and what comes out must be encrypted throughout.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkTls, podsOf } from "./documents.mjs";

const kFiles = {
  Job: ["base/server.yaml", "base/worker.yaml"],
  StatefulSet: ["statefulset/server.yaml"],
  JobSet: ["jobset/jobset.yaml"],
  ClusterTrainingRuntime: ["trainer/runtime.yaml"],
  PodMonitor: ["components/monitoring/podmonitor.yaml"],
  ServiceMonitor: ["components/monitoring/servicemonitor.yaml"],
};

// RFC 6902, of what the component uses: add and replace.
function apply(document, { op, path, value }) {
  const keys = path.slice(1).split("/");
  const last = keys.pop();
  let at = document;
  for (const key of keys) {
    at = at[key];
    if (at === undefined) throw new Error(`${path}: there is no ${key}`);
  }
  if (op === "replace" && at[last] === undefined) throw new Error(`${path}: nothing to replace`);
  if (last === "-") at.push(value);
  else at[last] = value;
}

// What is wrong, by kind.
export function checkTlsComponent(root, yaml) {
  const read = (path) => readFileSync(join(root, path), "utf8");
  const { patches } = yaml.parse(read("components/tls/kustomization.yaml"));
  const result = new Map();
  for (const { target, patch } of patches) {
    const found = [];
    result.set(target.kind, found);
    for (const file of kFiles[target.kind] ?? []) {
      const document = yaml.parseAllDocuments(read(file))
        .map((d) => d.toJS()).find((d) => d.kind === target.kind);
      for (const operation of yaml.parse(patch)) apply(document, operation);
      for (const end of document.spec.podMetricsEndpoints ?? document.spec.endpoints ?? []) {
        if (end.scheme !== "https") found.push(`${file}: asks by ${end.scheme}`);
      }
      for (const pod of podsOf([document])) {
        for (const container of pod.template.spec.containers) {
          checkTls(pod, container, (good, what) => {
            if (!good) found.push(`${file}: ${what}`);
          });
          if (!container.env.some((e) => e.name === "TERSE_TLS")) found.push(`${file}: no TERSE_TLS`);
        }
      }
    }
    if (!kFiles[target.kind]) found.push("no manifest of this kind");
  }
  return result;
}
