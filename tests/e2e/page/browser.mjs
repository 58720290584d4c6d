// A headless Chromium, spoken to over a pipe in its DevTools protocol.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

const kPlaces = ["/usr/bin/chromium", "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome"];

export function findBrowser() {
  return [process.env.CHROMIUM, ...kPlaces].find((p) => p && existsSync(p));
}

export class Browser {
  constructor(path, profile) {
    this.process = spawn(path, ["--headless=new", "--no-sandbox",
      "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
      "--disable-background-networking", "--disable-component-update",
      `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.pending = new Map();
    this.listeners = [];
    this.next = 1;
    let rest = "";
    this.process.stdio[4].on("data", (data) => {
      const parts = (rest + data).split("\0");
      rest = parts.pop();
      for (const part of parts) this.take(JSON.parse(part));
    });
  }
  take(message) {
    const waiting = this.pending.get(message.id);
    if (waiting) {
      this.pending.delete(message.id);
      if (message.error) waiting.reject(new Error(JSON.stringify(message.error)));
      else waiting.resolve(message.result);
    } else if (message.method) {
      for (const listener of this.listeners) listener(message);
    }
  }
  send(method, params = {}) {
    const id = this.next++;
    const message = { id, method, params };
    if (this.session) message.sessionId = this.session;
    this.process.stdio[3].write(JSON.stringify(message) + "\0");
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
    });
  }
  // A fresh page; `on` hears its events.
  async open(on) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget",
      { targetId, flatten: true });
    this.session = sessionId;
    this.listeners.push(on);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) {
      await this.send(domain + ".enable");
    }
  }
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate",
      { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result.value;
  }
  // Polls until `expression` is truthy.
  async until(expression, what, seconds = 60) {
    for (let i = 0; i < seconds * 5; ++i) {
      if (await this.evaluate(expression)) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error(`not seen: ${what}`);
  }
  async view(width, height, dark) {
    await this.send("Emulation.setDeviceMetricsOverride",
      { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    await this.send("Emulation.setEmulatedMedia", { features:
      [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  async screenshot() {
    const { data } = await this.send("Page.captureScreenshot",
      { captureBeyondViewport: true, format: "png" });
    return Buffer.from(data, "base64");
  }
  close() {
    const gone = new Promise((done) => this.process.on("exit", done));
    this.process.kill("SIGKILL");
    return gone;
  }
}
