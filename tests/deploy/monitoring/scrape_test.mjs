// A job that a real Prometheus scrapes: every query of the dashboard is answered
// with data, and every alert's can be asked.
//   node scrape_test.mjs SOURCE BINARIES
// Ends with 77 where there is no Prometheus.
import assert from "node:assert";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [source, binaries] = process.argv.slice(2, 4).map((p) => resolve(p));
const kPrometheus = "/usr/bin/prometheus";
if (!existsSync(kPrometheus)) {
  console.log("skipped: no Prometheus here (Debian: prometheus)");
  process.exit(77);
}
// Queries about what this job does not have.
const kWithoutData = ["terse_checkpoint_last_success_timestamp_seconds"];
const kJob = `
name: scrape
model: {mlp: [256]}
data: {kind: digits, train_samples: 8000, test_samples: 500}
quantize: {weights: binaryconnect}
compress: {gradient: {kind: terngrad, error_feedback: true}}
optimizer: {kind: adam, learning_rate: 0.003}
train: {epochs: 10000, batch_size: 50}
cluster: {servers: 1, workers: 2}
`;
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

async function ask(prometheus, query) {
  const url = `http://${prometheus}/api/v1/query?query=${encodeURIComponent(query)}`;
  const answer = await (await fetch(url)).json();
  assert.equal(answer.status, "success", `${query}: ${answer.error}`);
  return answer.data.result;
}

async function startJob() {
  writeFileSync(join(folder, "job.yaml"), kJob);
  start(join(binaries, "terse-server"), ["--job", "job.yaml",
    "--listen", "127.0.0.1:0", "--port-file", "port", "--http", "127.0.0.1:0",
    "--http-port-file", "server.http"]);
  const coordinator = await textOf("port");
  for (const rank of ["0", "1"]) {
    start(join(binaries, "terse-worker"), ["--coordinator", coordinator,
      "--rank", rank, "--http", "127.0.0.1:0", "--http-port-file", `worker-${rank}.http`]);
  }
  return Promise.all(["server.http", "worker-0.http", "worker-1.http"].map(textOf));
}

async function startPrometheus(targets) {
  writeFileSync(join(folder, "prometheus.yaml"), JSON.stringify({
    global: { scrape_interval: "1s", evaluation_interval: "2s" },
    rule_files: [join(source, "deploy/monitoring/rules.yaml")],
    scrape_configs: [{ job_name: "terse", static_configs: [{ targets }] }],
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

let code = 1;
try {
  const targets = await startJob();
  const prometheus = await startPrometheus(targets);
  const dashboard = JSON.parse(
    readFileSync(join(source, "deploy/monitoring/dashboard.json"), "utf8"));
  const queries = dashboard.panels.flatMap((p) => p.targets).map((t) =>
    t.expr.replaceAll("$__rate_interval", "30s").replaceAll("$job", ".*"));
  const needed = queries.filter((q) => !kWithoutData.some((name) => q.includes(name)));
  let without = needed;
  for (let i = 0; without.length && i < 180; ++i) {
    await wait(1000);
    const left = [];
    for (const query of without) {
      const result = await ask(prometheus, query);
      if (!result.some((r) => isFinite(Number(r.value[1])))) left.push(query);
    }
    without = left;
  }
  assert.deepEqual(without, [], "queries without data");
  assert.equal((await ask(prometheus, "up == 1")).length, 3);
  const rules = await (await fetch(`http://${prometheus}/api/v1/rules`)).json();
  const alerts = rules.data.groups.flatMap((group) => group.rules);
  for (const rule of alerts) {
    assert.notEqual(rule.health, "err", `${rule.name}: ${rule.lastError}`);
    await ask(prometheus, rule.query);
  }
  console.log(`${needed.length} queries of the dashboard answered with data, ` +
    `${queries.length - needed.length} about checkpoints not asked; ` +
    `${alerts.length} alerts evaluated`);
  code = 0;
} catch (error) {
  console.error(error.stack);
} finally {
  for (const child of children) child.kill("SIGKILL");
  await wait(500);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
process.exit(code);
