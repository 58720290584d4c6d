// Jobs that a real Prometheus scrapes. Of a healthy one every query of the
// dashboard is answered with data, every metric of the README is there and no
// alert's expression holds; of sick ones every alert's does. One is encrypted.
//   node scrape_test.mjs SOURCE BINARIES
// Ends with 77 where there is no Prometheus.
import assert from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync }
  from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [source, binaries] = process.argv.slice(2, 4).map((p) => resolve(p));
const kPrometheus = "/usr/bin/prometheus";
if (!existsSync(kPrometheus)) {
  console.log("skipped: no Prometheus here (Debian: prometheus)");
  process.exit(77);
}
const job = (evaluateEvery, more) => `
name: scrape
model: {mlp: [256]}
data: {kind: digits, train_samples: 8000, test_samples: 500}
optimizer: {kind: adam, learning_rate: 0.003}
train: {epochs: 100000, batch_size: 50, evaluate_every_epochs: ${evaluateEvery}}
${more}`;
const kHealthy = job(1, `
quantize: {weights: binaryconnect}
compress: {gradient: {kind: onebit, error_feedback: true}}
checkpoint: {every_seconds: 2}
cluster: {servers: 1, workers: 2, peer_timeout_seconds: 600, step_timeout_seconds: 600}
`);
// One worker runs ahead of the other, which evaluations would wait for, and hardly
// anything is sent.
const kUnequal = job(100000, `
compress: {gradient: {kind: topk, ratio: 0.0001, error_feedback: true}}
cluster: {servers: 1, workers: 2, mode: async, peer_timeout_seconds: 600, step_timeout_seconds: 600}
`);
// Names of series with a label that each must have; histograms by their count.
const kMetrics = [
  'terse_push_bytes_total{codec!=""}', 'terse_raw_bytes_total{direction="up"}',
  'terse_wire_bytes_total{direction="up"}', 'terse_wire_bytes_total{direction="down"}',
  'terse_bits_per_element{direction="up"}', "terse_step_seconds_count",
  "terse_compute_seconds_count", "terse_encode_seconds_count",
  "terse_barrier_wait_seconds_count", "terse_decode_seconds_count",
  "terse_apply_seconds_count", "terse_server_frame_seconds_count",
  'terse_worker_staleness_steps{worker="1"}', "terse_residual_norm_ratio",
  'terse_workers{state="training"}', "terse_workers_wanted",
  "terse_checkpoint_last_success_timestamp_seconds > 0",
  "terse_checkpoint_last_success_step > 0", "terse_checkpoint_failures_total",
  'terse_build_info{version!="",revision!="",kernels!="",role="coordinator"}',
  "terse_train_loss", "terse_test_accuracy_ratio", "terse_learning_rate",
  "terse_job_step", "terse_job_steps", "terse_job_finished == 0", "terse_job_failed == 0",
];
const folder = mkdtempSync(join(tmpdir(), "terse-scrape-"));
const children = [];
const start = (program, args) => {
  const child = spawn(program, args, { cwd: folder, stdio: "ignore",
    env: { ...process.env, TERSE_TOKEN: "scrape", OMP_NUM_THREADS: "1",
      OPENBLAS_NUM_THREADS: "1", OMP_WAIT_POLICY: "passive" } });
  children.push(child);
  return child;
};
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const textOf = async (file) => {
  for (let i = 0; !existsSync(join(folder, file)); ++i) {
    assert(i < 600, `${file} never came`);
    await wait(100);
  }
  return readFileSync(join(folder, file), "utf8").trim();
};

let prometheus = "";
async function ask(query) {
  const url = `http://${prometheus}/api/v1/query?query=${encodeURIComponent(query)}`;
  const answer = await (await fetch(url)).json();
  assert.equal(answer.status, "success", `${query}: ${answer.error}`);
  return answer.data.result.filter((r) => isFinite(Number(r.value[1])));
}

// Asks until each of `queries` has had data.
async function until(what, queries, seconds = 180) {
  let without = queries;
  for (let i = 0; without.length && i < seconds; ++i) {
    await wait(1000);
    const left = [];
    for (const query of without) if (!(await ask(query)).length) left.push(query);
    without = left;
  }
  assert.deepEqual(without, [], `${what}: no data for these`);
}

// Roles of a job, Prometheus's targets in targets/NAME.json.
async function startJob(name, yaml, flags = [], labels = {}) {
  const workers = ["0", "1"];
  const file = (suffix) => `${name}.${suffix}`;
  writeFileSync(join(folder, file("yaml")), yaml);
  mkdirSync(join(folder, name));
  const roles = { server: start(join(binaries, "terse-server"), ["--job", file("yaml"),
    "--listen", "127.0.0.1:0", "--port-file", file("port"), "--run-dir", name,
    "--http", "127.0.0.1:0", "--http-port-file", file("http"),
    "--http-linger-seconds", "60", ...flags]) };
  const coordinator = await textOf(file("port"));
  for (const rank of workers) {
    roles[rank] = start(join(binaries, "terse-worker"), ["--coordinator", coordinator,
      "--rank", rank, "--http", "127.0.0.1:0", "--http-port-file", file(rank + ".http"),
      ...flags]);
  }
  const targets = await Promise.all(
    ["http", ...workers.map((rank) => rank + ".http")].map((s) => textOf(file(s))));
  const path = join(folder, "targets", name + ".json");
  writeFileSync(path + ".new", JSON.stringify([{ targets, labels: { job: name, ...labels } }]));
  renameSync(path + ".new", path);
  return roles;
}

async function startPrometheus() {
  mkdirSync(join(folder, "targets"));
  writeFileSync(join(folder, "prometheus.yaml"), JSON.stringify({
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    rule_files: [join(source, "deploy/monitoring/rules.yaml")],
    scrape_configs: [{ job_name: "terse", tls_config: { insecure_skip_verify: true },
      file_sd_configs: [
      { files: [join(folder, "targets/*.json")], refresh_interval: "1s" }] }],
  }));
  for (let attempt = 0; attempt < 5; ++attempt) {
    const address = `127.0.0.1:${20000 + Math.floor(Math.random() * 20000)}`;
    const child = start(kPrometheus, ["--config.file=prometheus.yaml",
      "--storage.tsdb.path=data", `--web.listen-address=${address}`]);
    for (let i = 0; i < 300 && child.exitCode === null; ++i) {
      const ready = await fetch(`http://${address}/-/ready`).catch(() => null);
      if (ready?.ok) return address;
      await wait(200);
    }
  }
  throw new Error("Prometheus did not start");
}

// What the alerts ask, of seconds where they ask of minutes and hours.
let alerts = new Map();
const holds = (name) => {
  assert(alerts.has(name), `there is no alert ${name}`);
  const query = alerts.get(name).replaceAll(/\[\d+[smh]\]/g, "[10s]").replace("> 3600", "> 1");
  alerts.delete(name);
  return query;
};

async function healthy() {
  const roles = await startJob("healthy", kHealthy);
  const dashboard = JSON.parse(
    readFileSync(join(source, "deploy/monitoring/dashboard.json"), "utf8"));
  const queries = dashboard.panels.flatMap((p) => p.targets ?? []).map((t) =>
    t.expr.replaceAll("$__rate_interval", "30s").replaceAll("$job", ".*"));
  await until("the dashboard", queries);
  await until("the metrics", kMetrics);
  assert.equal((await ask("up == 1")).length, 3);
  const rules = await (await fetch(`http://${prometheus}/api/v1/rules`)).json();
  for (const rule of rules.data.groups.flatMap((group) => group.rules)) {
    assert.equal(rule.health, "ok", `${rule.name}: ${rule.lastError}`);
    // How long workers wait is the machine's affair, too.
    if (rule.name !== "TerseWaitDominates") {
      assert.deepEqual(await ask(rule.query), [], `${rule.name} of a healthy job`);
    }
    alerts.set(rule.name, rule.query);
  }
  console.log(`a healthy job: ${queries.length} queries of the dashboard and ` +
    `${kMetrics.length} metrics have data, ${alerts.size} alerts evaluated, none holds that should not`);
  return roles;
}

// A file where there was a folder, though somebody may make it anew meanwhile.
function putInTheWay(path) {
  for (let i = 0; i < 100; ++i) {
    if (existsSync(path)) renameSync(path, `${path}.${i}`);
    try {
      writeFileSync(path, "in the way", { flag: "wx" });
      return;
    } catch { /* It is there again. */ }
  }
  throw new Error(`${path} comes again and again`);
}

// The healthy job falls ill, step by step.
async function sick(roles) {
  await until("an hour without a checkpoint", [holds("TerseCheckpointOld")]);
  putInTheWay(join(folder, "healthy/checkpoints"));
  await until("a checkpoint that cannot be kept", [holds("TerseCheckpointFails")]);
  // One worker runs a tenth of the time.
  const slow = setInterval(() => {
    roles[1].kill("SIGSTOP");
    setTimeout(() => roles[1].kill("SIGCONT"), 440);
  }, 480);
  await until("a slow worker", [holds("TerseWaitDominates")]);
  clearInterval(slow);
  await wait(1000);  // The last SIGCONT.
  roles[1].kill("SIGSTOP");
  await until("a worker that stands still", [holds("TerseJobStalled")]);
  roles[0].kill("SIGKILL");
  const lost = holds("TerseWorkersMissing");
  await until("a lost worker", [`last_over_time((${lost})[1m:1s])`,
    holds("TerseJobFailed"), 'ALERTS{alertname="TerseJobFailed",alertstate="firing"}',
    'last_over_time(terse_workers{state="lost"}[1m]) == 1']);
}

async function unequal() {
  const roles = await startJob("unequal", kUnequal);
  await until("a job", ['terse_job_step{job="unequal"} > 0']);
  roles[1].kill("SIGSTOP");
  await until("a worker that is left behind", [holds("TerseWorkerBehind")]);
  await until("little that is sent", [holds("TerseResidualGrows")]);
}

// As components/tls has Prometheus do it.
async function encrypted() {
  const made = spawnSync(join(binaries, "terse"), ["tls", join(folder, "tls")]);
  assert.equal(made.status, 0, String(made.stderr));
  await startJob("encrypted", kHealthy, ["--tls", "tls"], { __scheme__: "https" });
  await until("an encrypted job", ['terse_job_step{job="encrypted"} > 0',
    'sum(up{job="encrypted"}) == 3']);
  console.log("an encrypted job: scraped by HTTPS");
}

let code = 1;
try {
  prometheus = await startPrometheus();
  await sick(await healthy());
  await unequal();
  await encrypted();
  assert.deepEqual([...alerts.keys()], [], "alerts that no job was sick for");
  console.log("sick jobs: every alert's expression holds for one");
  code = 0;
} catch (error) {
  console.error(error.stack);
} finally {
  for (const child of children) child.kill("SIGKILL");
  await wait(500);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
process.exit(code);
