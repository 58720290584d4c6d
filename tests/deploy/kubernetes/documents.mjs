// What the checks look at in a set of manifests.

// Pod templates with the names a pod of them would have.
export function podsOf(documents) {
  const pods = [];
  const add = (owner, name, template, subdomain, count, labels) => pods.push({
    owner, template, count, subdomain: subdomain ?? template.spec.subdomain,
    hosts: (i) => `${name}-${i}`, labels: { ...labels, ...template.metadata?.labels },
  });
  const addJobSet = (owner, name, spec) => {
    for (const job of spec.replicatedJobs ?? []) {
      add(owner, `${name}-${job.name}-0`, job.template.spec.template,
        spec.network?.subdomain ?? name, job.template.spec.completions ?? 1);
    }
  };
  const run = documents.find((d) => d.kind === "TrainJob");
  for (const d of documents) {
    const name = d.metadata?.name;
    if (d.kind === "Job") add(d, name, d.spec.template, undefined, d.spec.completions);
    if (d.kind === "StatefulSet") {
      add(d, name, d.spec.template, d.spec.serviceName, d.spec.replicas);
    }
    if (d.kind === "JobSet") addJobSet(d, name, d.spec);
    if (d.kind === "ClusterTrainingRuntime") {
      addJobSet(d, run?.metadata.name ?? name, d.spec.template.spec);
    }
    if (d.kind === "MPIJob") {
      for (const [role, replica] of Object.entries(d.spec.mpiReplicaSpecs)) {
        add(d, `${name}-${role.toLowerCase()}`, replica.template, name, replica.replicas);
      }
    }
  }
  return pods;
}

const matches = (labels, selector) =>
  Object.entries(selector ?? {}).every(([key, value]) => labels?.[key] === value);

const nameOf = (d) => `${d.kind} ${d.metadata?.name}`;

// Things that name each other but do not meet.
export function checkReferences(documents, byHand) {
  const found = [];
  const has = (kind, name) => documents.some(
    (d) => d.kind === kind && d.metadata.name === name);
  const pods = podsOf(documents);
  const hosts = new Set(pods.flatMap((p) => Array.from({ length: p.count ?? 1 },
    (unused, i) => `${p.hosts(i)}.${p.subdomain}`)));
  for (const pod of pods) checkPod(pod, has, byHand, hosts, found);
  for (const d of documents) checkSelector(d, documents, pods, found);
  for (const pod of pods) {
    const services = documents.filter((d) => d.kind === "Service" &&
      d.metadata.name === pod.subdomain);
    if (["Job", "StatefulSet"].includes(pod.owner.kind) && !services.length) {
      found.push(`${nameOf(pod.owner)}: no service ${pod.subdomain} gives its pods names`);
    }
  }
  return found;
}

function checkPod(pod, has, byHand, hosts, found) {
  const { spec } = pod.template;
  const where = nameOf(pod.owner);
  const need = (kind, name) => {
    if (!has(kind, name) && !byHand.includes(`${kind} ${name}`)) {
      found.push(`${where}: there is no ${kind} ${name}`);
    }
  };
  if (spec.serviceAccountName) need("ServiceAccount", spec.serviceAccountName);
  const volumes = new Set((spec.volumes ?? []).map((v) => v.name));
  for (const claim of pod.owner.spec.volumeClaimTemplates ?? []) {
    volumes.add(claim.metadata.name);
  }
  for (const volume of spec.volumes ?? []) {
    if (volume.configMap) need("ConfigMap", volume.configMap.name);
    const claim = volume.persistentVolumeClaim;
    if (claim) need("PersistentVolumeClaim", claim.claimName);
    if (volume.secret) need("Secret", volume.secret.secretName);
  }
  for (const container of spec.containers) {
    for (const { name, valueFrom } of container.env ?? []) {
      if (valueFrom?.secretKeyRef) need("Secret", valueFrom.secretKeyRef.name);
      if (valueFrom?.configMapKeyRef) need("ConfigMap", valueFrom.configMapKeyRef.name);
      void name;
    }
    for (const mount of container.volumeMounts ?? []) {
      if (!volumes.has(mount.name)) found.push(`${where}: no volume ${mount.name}`);
    }
    const ports = (container.ports ?? []).flatMap((p) => [p.name, p.containerPort]);
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
      const action = container[probe]?.httpGet ?? container[probe]?.tcpSocket ??
        container[probe]?.grpc;
      if (action && !ports.includes(action.port)) {
        found.push(`${where}: ${probe} asks port ${action.port}, which is not declared`);
      }
    }
    const http = (container.args ?? []).find((a) => a.startsWith("--http="));
    const declared = (container.ports ?? []).find((p) => p.name === "http");
    if (http && declared && !http.endsWith(`:${declared.containerPort}`)) {
      found.push(`${where}: ${http}, but the port http is ${declared.containerPort}`);
    }
    const coordinator = (container.args ?? []).find((a) => a.startsWith("--coordinator="));
    if (coordinator) {
      const host = coordinator.slice(14).replace(/:\d+$/, "")
        .replaceAll("$(JOBSET_NAME)", "terse");
      if (!hosts.has(host)) found.push(`${where}: ${coordinator} is no pod of this job`);
    }
  }
}

function checkSelector(d, documents, pods, found) {
  const selects = (selector, what) => {
    if (!pods.some((p) => matches(p.labels, selector))) {
      found.push(`${nameOf(d)} selects no ${what}`);
    }
  };
  const ports = (selector) => pods.filter((p) => matches(p.labels, selector))
    .flatMap((p) => p.template.spec.containers)
    .flatMap((c) => c.ports ?? []).flatMap((p) => [p.name, p.containerPort]);
  if (d.kind === "Service") {
    selects(d.spec.selector, "pod");
    for (const port of d.spec.ports) {
      if (!ports(d.spec.selector).includes(port.targetPort ?? port.port)) {
        found.push(`${nameOf(d)}: no pod has its port ${port.targetPort}`);
      }
    }
  }
  if (["PodDisruptionBudget", "PodMonitor"].includes(d.kind)) {
    selects(d.spec.selector.matchLabels, "pod");
  }
  for (const end of d.spec?.podMetricsEndpoints ?? []) {
    if (!ports(d.spec.selector.matchLabels).includes(end.port)) {
      found.push(`${nameOf(d)}: no pod has the port ${end.port}`);
    }
  }
  if (d.kind === "NetworkPolicy") {
    selects(d.spec.podSelector.matchLabels, "pod");
    const own = d.spec.ingress.flatMap((rule) => rule.ports ?? []);
    for (const { port } of own) {
      if (!ports(d.spec.podSelector.matchLabels).includes(port)) {
        found.push(`${nameOf(d)} opens port ${port}, which no pod has`);
      }
    }
  }
  if (d.kind === "ServiceMonitor") {
    const services = documents.filter((s) => s.kind === "Service" &&
      matches(s.metadata.labels, d.spec.selector.matchLabels));
    if (!services.length) found.push(`${nameOf(d)} selects no service`);
    for (const end of d.spec.endpoints) {
      if (!services.every((s) => s.spec.ports.some((p) => p.name === end.port))) {
        found.push(`${nameOf(d)}: the service has no port ${end.port}`);
      }
    }
  }
  const set = d.kind === "JobSet" ? d.spec
    : d.kind === "ClusterTrainingRuntime" ? d.spec.template.spec : null;
  if (set) {
    const names = set.replicatedJobs.map((job) => job.name);
    const asked = [...(set.successPolicy?.targetReplicatedJobs ?? []),
      ...set.replicatedJobs.flatMap((job) => (job.dependsOn ?? []).map((o) => o.name))];
    for (const name of asked) {
      if (!names.includes(name)) found.push(`${nameOf(d)}: no replicated job ${name}`);
    }
  }
  if (d.kind === "ClusterTrainingRuntime") {
    const trainer = set.replicatedJobs.filter((job) =>
      job.template.metadata?.labels?.["trainer.kubeflow.org/trainjob-ancestor-step"] === "trainer");
    if (trainer.length !== 1 ||
        trainer[0].template.spec.template.spec.containers[0].name !== "node") {
      found.push(`${nameOf(d)}: one job must be the trainer's, its container named node`);
    }
  }
  if (d.kind === "TrainJob" && !documents.some((r) =>
    r.kind === d.spec.runtimeRef.kind && r.metadata.name === d.spec.runtimeRef.name)) {
    found.push(`${nameOf(d)}: no runtime ${d.spec.runtimeRef.name}`);
  }
}

// A role says how its connections are protected; with TLS it has the files, and
// is probed by HTTPS.
export function checkTls(pod, container, want) {
  const value = (name) => container.env?.find((e) => e.name === name)?.value;
  const folder = value("TERSE_TLS");
  want(Boolean(folder) !== Boolean(value("TERSE_INSECURE")),
    "has neither or both of TERSE_TLS and TERSE_INSECURE");
  const mount = (container.volumeMounts ?? []).find((m) => m.mountPath === folder);
  const volume = (pod.template.spec.volumes ?? []).find((v) => v.name === mount?.name);
  want(!folder || volume?.secret, "mounts no Secret at TERSE_TLS");
  for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
    want((container[probe]?.httpGet?.scheme === "HTTPS") === Boolean(folder),
      `${probe} does not speak as the port does`);
  }
}

// The pod security standard `restricted`, and what a good pod has beside it.
export function checkSecurity(documents) {
  const found = [];
  for (const pod of podsOf(documents)) {
    const { spec } = pod.template;
    const where = nameOf(pod.owner);
    const want = (good, what) => {
      if (!good) found.push(`${where}: ${what}`);
    };
    want(spec.securityContext?.runAsNonRoot === true, "runAsNonRoot is not true");
    want(spec.securityContext?.seccompProfile?.type === "RuntimeDefault", "no seccomp profile");
    want(spec.automountServiceAccountToken === false, "a service account's token is mounted");
    want(spec.terminationGracePeriodSeconds >= 60, "ends before a checkpoint may be written");
    want(!spec.hostNetwork && !spec.hostPID && !spec.hostIPC, "shares a namespace of the host");
    want(!(spec.volumes ?? []).some((v) => v.hostPath), "mounts a path of the host");
    for (const container of spec.containers) {
      const own = container.securityContext ?? {};
      want(own.allowPrivilegeEscalation === false, "allows privilege escalation");
      want(own.readOnlyRootFilesystem === true, "may write its root file system");
      want(own.capabilities?.drop?.includes("ALL"), "keeps capabilities");
      want(container.resources?.requests?.cpu && container.resources?.limits?.memory,
        "has no CPU request or no memory limit");
      want(/:[^:/]+$/.test(container.image) && !container.image.endsWith(":latest"),
        `image ${container.image} has no fixed tag`);
      if ((container.args ?? [])[0] === "run") {
        want(container.livenessProbe && container.readinessProbe, "has no probes");
        checkTls(pod, container, want);
      }
    }
  }
  return found;
}
