// Checks the manifests without a cluster: what kustomize renders of every
// variant, and what `terse launch --kubernetes` renders.
//   node check.mjs SOURCE WORK TERSE
// WORK keeps the packages of package.json. Ends with 77 where they cannot be
// had. Then shows that each of a list of mistakes is caught by the check it is
// for.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { checkReferences, checkSecurity, podsOf } from "./documents.mjs";
import { checkTlsComponent } from "./tls.mjs";
import { mistakes } from "./mistakes.mjs";

const [source, work, terse] = process.argv.slice(2).map((p) => resolve(p));
const kByHand = ["Secret terse-token", "Secret terse-tls"];

function run(command, args, options = {}) {
  return spawnSync(command, args, { encoding: "utf8", ...options });
}

function skip(why) {
  console.log("skipped: " + why);
  process.exit(77);
}

mkdirSync(work, { recursive: true });
cpSync(join(source, "tests/deploy/kubernetes/package.json"), join(work, "package.json"));
cpSync(join(source, "tests/deploy/kubernetes/crds.d.ts"), join(work, "crds.d.ts"));
if (!existsSync(join(work, "node_modules/.package-lock.json")) ||
    !existsSync(join(work, "node_modules/kubernetes-models"))) {
  const got = run("npm", ["install", "--no-audit", "--no-fund", "--no-save",
    "--ignore-scripts"], { cwd: work, timeout: 240000 });
  if (got.status !== 0) skip("npm cannot get kubernetes-models and typescript");
}
const require = createRequire(join(work, "package.json"));
const yaml = require("yaml");

// Kind to module and interface; the rest stands in crds.d.ts.
const kModels = {
  "v1/ConfigMap": "kubernetes-models/v1/ConfigMap",
  "v1/Namespace": "kubernetes-models/v1/Namespace",
  "v1/PersistentVolumeClaim": "kubernetes-models/v1/PersistentVolumeClaim",
  "v1/Secret": "kubernetes-models/v1/Secret",
  "v1/Service": "kubernetes-models/v1/Service",
  "v1/ServiceAccount": "kubernetes-models/v1/ServiceAccount",
  "apps/v1/StatefulSet": "kubernetes-models/apps/v1/StatefulSet",
  "batch/v1/Job": "kubernetes-models/batch/v1/Job",
  "networking.k8s.io/v1/NetworkPolicy": "kubernetes-models/networking.k8s.io/v1/NetworkPolicy",
  "policy/v1/PodDisruptionBudget": "kubernetes-models/policy/v1/PodDisruptionBudget",
  "monitoring.coreos.com/v1/PodMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  "monitoring.coreos.com/v1/ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
};
const kOwn = ["Issuer", "Certificate", "JobSet", "ClusterTrainingRuntime", "TrainJob", "MPIJob", "PodGroup"];

const models = new Map();
for (const [kind, path] of Object.entries(kModels)) {
  const file = join(work, "node_modules", path + ".js");
  models.set(kind, (await import(pathToFileURL(file)))[kind.split("/").pop()]);
}

function checkSchema(documents) {
  const found = [];
  for (const d of documents) {
    const Model = models.get(`${d.apiVersion}/${d.kind}`);
    if (!Model) {
      if (!kOwn.includes(d.kind)) found.push(`no schema for ${d.apiVersion} ${d.kind}`);
      continue;
    }
    try {
      new Model(d).validate();
    } catch (error) {
      found.push(`${d.kind} ${d.metadata?.name}: ${error.message}`);
    }
  }
  return found;
}

// One run of the compiler for all sets; errors by set.
function checkFields(sets) {
  const folder = join(work, "typed");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const found = new Map();
  for (const [name, documents] of sets) {
    const lines = documents.map((d, i) => {
      const model = kModels[`${d.apiVersion}/${d.kind}`];
      const from = model ? `import type { I${d.kind} as T${i} } from "${model}";`
        : `import type { ${d.kind} as T${i} } from "../crds.js";`;
      return `${from}\nexport const d${i}: T${i} = ${JSON.stringify(d, null, 1)};`;
    });
    writeFileSync(join(folder, name + ".ts"), lines.join("\n"));
    found.set(name, []);
  }
  const files = readdirSync(folder).map((f) => join("typed", f));
  const out = run(process.execPath, [require.resolve("typescript/bin/tsc"),
    "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext",
    "--moduleResolution", "nodenext", "--target", "es2022", ...files], { cwd: work });
  for (const line of (out.stdout + out.stderr).split("\n")) {
    const error = /^typed\/(.+)\.ts\(\d+,\d+\): error \S+ (.*)/.exec(line);
    if (error) found.get(error[1]).push(error[2]);
    else if (/error TS/.test(line)) throw new Error("tsc: " + line);
  }
  return found;
}

// Certificates, in place of those in the cluster.
const kTlsFolder = "/etc/terse-tls";
function tlsFiles() {
  const folder = join(work, "tls");
  if (existsSync(join(folder, "tls.crt"))) return folder;
  const made = run(terse, ["tls", folder, "--days", "3650"]);
  if (made.status !== 0) throw new Error(made.stderr);
  return folder;
}

// Every container's command line, as `terse run --dry-run` takes it.
const tried = new Map();
function checkFlags(documents) {
  const found = [];
  const job = documents.find((d) => d.kind === "ConfigMap" && d.data?.["job.yaml"]);
  if (!job) return ["no ConfigMap holds job.yaml"];
  const path = join(work, "job.yaml");
  writeFileSync(path, job.data["job.yaml"]);
  for (const pod of podsOf(documents)) {
    for (const container of pod.template.spec.containers) {
      const args = container.args ?? [];
      const first = container.command?.[0] === "mpirun" ? args.indexOf("run") : 0;
      if (args[first] !== "run") continue;
      const server = args.includes("--role=server");
      const index = server ? 0 : pod.count - 1;
      const given = args.slice(first).map((a) => a
        .replace("/etc/terse/job.yaml", path)
        .replace(/\$\((JOB_COMPLETION_INDEX|POD_INDEX)\)/, index)
        .replaceAll("$(JOBSET_NAME)", "terse"));
      const environment = first > 0
        ? { OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: args[args.indexOf("-np") + 1] }
        : {};
      for (const { name, value } of container.env ?? []) {
        if (value) environment[name] = value.replace(kTlsFolder, tlsFiles());
      }
      const key = JSON.stringify([given, environment, job.data["job.yaml"]]);
      if (!tried.has(key)) {
        const out = run(terse, [...given, "--dry-run"], { cwd: work, timeout: 20000,
          env: { PATH: process.env.PATH, TERSE_TOKEN: "x", ...environment } });
        tried.set(key, out.status === 0 ? "" : out.stderr);
      }
      if (tried.get(key)) {
        found.push(`${pod.owner.kind} ${pod.owner.metadata.name}: ${tried.get(key)}`);
      }
    }
  }
  return found;
}

// As many pods as the job file has roles.
function checkCounts(documents) {
  const found = [];
  const config = documents.find((d) => d.kind === "ConfigMap" && d.data?.["job.yaml"]);
  const { servers = 1, workers = 2 } =
    yaml.parse(config?.data["job.yaml"] ?? "{}").cluster ?? {};
  for (const pod of podsOf(documents)) {
    const args = pod.template.spec.containers[0].args ?? [];
    const nodes = documents.find((d) => d.kind === "TrainJob")?.spec.trainer.numNodes;
    const worker = args.includes("--role=worker");
    const count = worker && nodes ? nodes : pod.count;
    const want = worker ? workers : args.includes("--role=server") ? servers : null;
    if (want !== null && want !== count) {
      found.push(`${pod.owner.metadata.name}: ${count} pods for ${want} of the job`);
    }
  }
  for (const { kind, metadata, spec } of documents) {
    if (kind === "Job" && spec.backoffLimit < 3 * spec.completions) {
      found.push(`${metadata.name}: may lose less than three pods, because each may end all`);
    }
  }
  const members = documents.find((d) => d.kind === "PodGroup")?.spec.minMember;
  if (members && members !== servers + workers) {
    found.push(`PodGroup: minMember ${members} for ${servers + workers} pods`);
  }
  return found;
}

const checks = {
  schema: checkSchema,
  references: (d) => checkReferences(d, kByHand),
  security: checkSecurity,
  counts: checkCounts,
  flags: checkFlags,
};

function parse(text) {
  const documents = yaml.parseAllDocuments(text);
  for (const d of documents) if (d.errors.length) throw d.errors[0];
  return documents.map((d) => d.toJS()).filter((d) => d);
}

// A variant with components, of which no overlay stands in the tree.
function renderWith(root, folder, components) {
  const overlay = join(work, "with", components.join("-"), folder);
  mkdirSync(overlay, { recursive: true });
  const from = (path) => relative(overlay, join(root, path));
  writeFileSync(join(overlay, "kustomization.yaml"), yaml.stringify({
    apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization",
    resources: [from(folder)],
    components: components.map((c) => from("components/" + c)),
  }));
  const out = run("kubectl", ["kustomize", overlay]);
  if (out.status !== 0) throw new Error(folder + ": " + out.stderr);
  return parse(out.stdout);
}

function rendered() {
  const sets = new Map();
  const root = join(source, "deploy/kubernetes");
  const version = run("kubectl", ["version", "--client"]).stdout ?? "";
  const kustomize = Number(/Kustomize Version: v(\d+)/.exec(version)?.[1] ?? 0);
  if (kustomize >= 5) {
    const folders = ["base", "jobset", "trainer", "mpijob", "statefulset",
      ...readdirSync(join(root, "overlays")).map((f) => "overlays/" + f)];
    for (const folder of folders) {
      const out = run("kubectl", ["kustomize", join(root, folder)]);
      if (out.status !== 0) throw new Error(folder + ": " + out.stderr);
      sets.set(folder.replace("/", "-"), parse(out.stdout));
    }
    const secured = ["network-policy", "monitoring", "cert-manager", "tls"];
    for (const folder of ["statefulset", "jobset", "trainer"]) {
      sets.set(folder + "-secured", renderWith(root, folder, secured));
    }
    for (const folder of ["base", "jobset"]) {
      sets.set(folder + "-kept", renderWith(root, folder, ["checkpoints"]));
    }
  } else {
    console.log("skipped: the variants of kustomize; no kubectl with kustomize 5 here");
  }
  const job = join(root, "job/job.yaml");
  const plain = run(terse, ["launch", "--kubernetes", job]);
  if (plain.status !== 0) throw new Error(plain.stderr);
  sets.set("launch", parse(plain.stdout));
  const larger = run(terse, ["launch", "--kubernetes", job, "--name", "big",
    "--namespace", "lab", "--set", "cluster.servers=2", "--set", "cluster.workers=5",
    "--image-prefix", "registry.example/"]);
  if (larger.status !== 0) throw new Error(larger.stderr);
  sets.set("launch-larger", parse(larger.stdout));
  const encrypted = run(terse, ["launch", "--kubernetes", job, "--tls-secret", "terse-tls"]);
  if (encrypted.status !== 0) throw new Error(encrypted.stderr);
  sets.set("launch-encrypted", parse(encrypted.stdout));
  return sets;
}

let bad = 0;
const report = (good, text) => {
  if (!good) bad += 1;
  console.log(`${good ? "ok  " : "FAIL"} ${text}`);
};
const sets = rendered();
const all = new Map(sets);
const planted = mistakes.filter((m) => sets.has(m.in));
for (const m of planted) {
  const documents = structuredClone(sets.get(m.in));
  m.make((kind, name) => documents.find((d) => d.kind === kind &&
    (!name || d.metadata.name === name)));
  m.documents = documents;
  all.set("mistake-" + m.name, documents);
}
const fields = checkFields(all);
for (const [name, documents] of sets) {
  const found = [...fields.get(name),
    ...Object.values(checks).flatMap((check) => check(documents))];
  report(found.length === 0, `${name}: ${documents.length} documents`);
  for (const text of found) console.log("       " + text);
}
for (const m of planted) {
  const found = m.check === "fields" ? fields.get("mistake-" + m.name)
    : checks[m.check](m.documents);
  report(found.length > 0, `mistake ${m.name} is caught by ${m.check}` +
    (found.length ? `: ${String(found[0]).split("\n")[0].slice(0, 110)}` : ""));
}
for (const [kind, found] of checkTlsComponent(join(source, "deploy/kubernetes"), yaml)) {
  report(found.length === 0, `components/tls of ${kind}`);
  for (const text of found) console.log("       " + text);
}
process.exit(bad ? 1 : 0);
