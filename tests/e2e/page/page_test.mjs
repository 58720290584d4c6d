// Looks at the status page of a real job in a headless Chromium.
//   node page_test.mjs BINARIES [SCREENSHOTS]
// Ends with 77 where there is no Chromium.
import assert from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Browser, findBrowser } from "./browser.mjs";

const kJob = `
name: page-test
seed: 5
model: {mlp: [512, 512]}
data: {kind: digits, train_samples: 12000, test_samples: 1000}
quantize: {weights: binaryconnect}
compress: {gradient: {kind: terngrad, error_feedback: true}}
optimizer: {kind: adam, learning_rate: 0.003}
train: {epochs: 6, batch_size: 50}
checkpoint: {every_steps: 100}
cluster: {servers: 2, workers: 2}
`;

const binaries = resolve(process.argv[2]);
const shots = process.argv[3] ? resolve(process.argv[3]) : null;
const path = findBrowser();
if (!path) {
  console.log("skipped: no Chromium here (Debian: chromium)");
  process.exit(77);
}
const folder = mkdtempSync(join(tmpdir(), "terse-page-"));
if (shots) mkdirSync(shots, { recursive: true });
writeFileSync(join(folder, "job.yaml"), kJob);
const run = join(folder, "run");
const job = spawn(join(binaries, "terse"),
  ["train", "job.yaml", "--run-dir", "run"], { cwd: folder, stdio: "ignore" });
const ended = new Promise((done) => job.on("exit", (code) => done(code)));
const browser = new Browser(path, join(folder, "profile"));

const requests = new Set();
const complaints = [];
const hear = ({ method, params }) => {
  if (method === "Network.requestWillBeSent") {
    requests.add(new URL(params.request.url).host);
  }
  if (method === "Runtime.exceptionThrown") {
    complaints.push(JSON.stringify(params.exceptionDetails));
  }
  if (method === "Log.entryAdded" && params.entry.level === "error" &&
      !params.entry.text.includes("ERR_CONNECTION")) {
    complaints.push(params.entry.text);
  }
};
const shoot = async (name) => {
  const png = await browser.screenshot();
  assert(png.length > 10000, `screenshot ${name} is empty`);
  if (shots) writeFileSync(join(shots, name + ".png"), png);
};
const click = (selector) =>
  browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);

// Of every curve, while nobody points at one.
const kLegendsTell = `[...document.querySelectorAll(".u-legend .u-value")]
  .every((value) => /[0-9]/.test(value.textContent))`;

async function lookAtLivePage() {
  const portFile = join(run, "shard-0.http");
  for (let i = 0; !existsSync(portFile); ++i) {
    assert(i < 300, "the coordinator opened no page");
    await new Promise((done) => setTimeout(done, 100));
  }
  const address = readFileSync(portFile, "utf8").trim();
  await browser.open(hear);
  await browser.view(1280, 900, false);
  await browser.send("Page.navigate", { url: `http://${address}/` });
  await browser.until(`document.querySelectorAll(".u-wrap").length === 4`,
    "four plots");
  await browser.until(`document.querySelector("#tensors button") !== null`,
    "an observed tensor");
  await browser.until(`document.querySelectorAll("#workers tr").length === 3`,
    "two workers");
  const before = await browser.evaluate(`document.querySelector(".tile b").textContent`);
  await browser.until(`document.querySelector(".tile b").textContent !== "${before}"`,
    "the step going on");
  await click("#tensors button");
  await browser.until(`document.querySelectorAll(".histogram").length === 5`,
    "the histograms of a tensor");
  await click("#by-time");
  assert.equal(await browser.evaluate(
    `document.querySelector("#by-time").getAttribute("aria-pressed")`), "true");
  await click("#by-step");
  await browser.until(`document.querySelector("#events").textContent.includes("test accuracy")`,
    "an evaluation");
  await browser.until(`document.querySelector("#events").textContent.includes("checkpoint of step") &&
    document.querySelector("#headline").textContent.includes("last checkpoint")`,
  "a checkpoint");
  await browser.until(`document.querySelectorAll("#wire tr").length === 3 &&
    document.querySelector("#wire-sum").textContent.includes("where fp32 takes")`,
  "what went over the wire");
  await browser.until(kLegendsTell, "the last values in all legends");
  await shoot("desktop-light");
  const back = `getComputedStyle(document.body).backgroundColor`;
  const light = await browser.evaluate(back);
  await click("#theme");
  assert.notEqual(await browser.evaluate(back), light, "the theme button");
  await browser.until(kLegendsTell, "the last values in all legends");
  await shoot("desktop-dark");
  await click("#theme");
  await browser.evaluate(`delete document.documentElement.dataset.theme`);
  await browser.view(390, 844, true);
  assert.notEqual(await browser.evaluate(back), light, "no dark page");
  assert(await browser.evaluate(
    `document.documentElement.scrollWidth <= innerWidth`),
  "the page is wider than a phone");
  await shoot("phone-dark");
  await browser.view(390, 844, false);
  await shoot("phone-light");
  assert.deepEqual([...requests], [address], "it asked something else");
}

async function lookAtReport() {
  const made = spawnSync(join(binaries, "terse"),
    ["report", run, "-o", join(folder, "report.html")]);
  assert.equal(made.status, 0, String(made.stderr));
  requests.clear();
  await browser.view(1280, 900, true);
  await browser.send("Page.navigate",
    { url: "file://" + join(folder, "report.html") });
  await browser.until(`document.title.startsWith("page-test") &&
    document.getElementById("phase")?.textContent === "finished"`,
  "the report");
  await browser.until(`document.querySelectorAll(".u-wrap").length === 4`,
    "the report's plots");
  assert.deepEqual([...requests].filter((host) => host), []);
  await browser.until(kLegendsTell, "the last values in the report's legends");
  await browser.until(`/[0-9a-f]{64}/.test(document.querySelector("#machine").textContent)`,
    "the weights' digest");
  await shoot("report-dark");
}

let code = 1;
try {
  await lookAtLivePage();
  assert.equal(await ended, 0, "the job failed");
  await lookAtReport();
  assert.deepEqual(complaints, []);
  console.log("the page is good");
  code = 0;
} catch (error) {
  console.error(error.stack, complaints);
} finally {
  job.kill("SIGTERM");
  await ended;
  await browser.close();
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  } catch (error) {
    console.log("left behind: " + error.message);
  }
}
process.exit(code);
