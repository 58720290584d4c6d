"use strict";
// The status page: asks the coordinator for what is new once a second, or shows
// the data it was saved with.
(() => {
  const { Curve, histogram, short, count, clock } = Plots;
  const saved = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const kRowsMax = 4000;
  const kParts = ["compute", "encode", "wait", "decode", "apply"];
  const kPartColors = ["--c1", "--c2", "--c5", "--c3", "--c4"];
  const kKinds = [
    ["gradient", "Gradient", "--c1"],
    ["sent", "As sent", "--c2"],
    ["residual", "Residual", "--c5"],
    ["shadow_weights", "Shadow weights", "--c3"],
    ["weights", "Weights as used", "--c4"],
  ];
  let status = null;
  let rows = [];
  let observed = {};
  let byTime = false;
  let chosen = null;
  let failures = 0;

  const stacks = kParts.map(() => []);
  const curves = {
    loss: new Curve(get("plot-loss"), [
      { label: "training", color: "--c1" },
      { label: "test", color: "--c2", points: true }], {}),
    accuracy: new Curve(get("plot-accuracy"), [
      { label: "training", color: "--c1" },
      { label: "test", color: "--c2", points: true }],
    { format: (v) => short(v) + " %" }),
    // Drawn from the top of the stack down.
    time: new Curve(get("plot-time"), kParts.map((part, i) => ({
      label: part, color: kPartColors[i], fill: true, show: stacks[i],
    })).reverse(), { min: 0 }),
    bits: new Curve(get("plot-bits"), [
      { label: "up", color: "--c1" },
      { label: "down", color: "--c2" },
      { label: "fp32", color: "--quiet", dash: [6, 4] },
      { label: "entropy up", color: "--c3", dash: [2, 3] }], { log: true }),
  };

  const column = (name) => {
    const place = status.columns.indexOf(name);
    return rows.map((row) => row[place]);
  };

  // Test points stand between the training's rows, or in one of the same place:
  // of two at the right end only the first would be drawn.
  const withTests = (train, key, scale) => {
    const places = new Map();
    column(byTime ? "seconds" : "step").forEach((x, i) =>
      places.set(x, [x, train[i] === null ? null : train[i] * scale, null]));
    for (const test of status.evaluations) {
      const x = test[byTime ? "seconds" : "step"];
      if (!places.has(x)) places.set(x, [x, null, null]);
      places.get(x)[2] = test[key] * scale;
    }
    const points = [...places.values()].sort((a, b) => a[0] - b[0]);
    return [0, 1, 2].map((k) => points.map((p) => p[k]));
  };

  const upEntropy = () => {
    let bits = 0, elements = 0;
    for (const tensor of status.tensors) {
      const seen = observed[tensor.name];
      const own = seen && seen.entropy_bits !== undefined ? seen.entropy_bits
        : tensor.codec === "none" ? 32 : null;
      if (own === null) return null;
      bits += own * tensor.elements;
      elements += tensor.elements;
    }
    return elements ? bits / elements : null;
  };

  const drawCurves = () => {
    if (!rows.length) return;
    const x = column(byTime ? "seconds" : "step");
    curves.loss.set(withTests(column("train_loss"), "test_loss", 1), byTime);
    curves.accuracy.set(
      withTests(column("train_accuracy"), "test_accuracy", 100), byTime);
    let below = x.map(() => 0);
    const stacked = kParts.map((part, i) => {
      const own = column(part);
      stacks[i].length = 0;
      stacks[i].push(...own);
      below = below.map((sum, k) => own[k] === null ? null : sum + own[k]);
      return below;
    });
    curves.time.set([x, ...stacked.reverse()], byTime);
    // The first step is counted before its gradient has been sent.
    const steps = column("step");
    const positive = (values) =>
      values.map((v, i) => v > 0 && steps[i] > 1 ? v : null);
    const entropy = upEntropy();
    curves.bits.set([x, positive(column("bits_per_element_up")),
      positive(column("bits_per_element_down")), x.map(() => 32),
      x.map(() => entropy)], byTime);
  };

  const cell = (text, left) => {
    const td = document.createElement("td");
    td.textContent = text;
    if (left) td.className = "left";
    return td;
  };
  // Texts stand at the left, numbers at the right.
  const head = (names, left) => {
    const tr = document.createElement("tr");
    names.forEach((name, i) => {
      const th = document.createElement("th");
      th.textContent = name;
      if (left.includes(i)) th.className = "left";
      tr.append(th);
    });
    return tr;
  };
  const badge = (state) => {
    const span = document.createElement("span");
    span.className = "badge " + state;
    span.textContent = state;
    return span;
  };

  const drawTiles = () => {
    const p = status.progress || {};
    const start = status.start || {};
    const tests = status.evaluations;
    const last = tests.length ? tests[tests.length - 1] : null;
    const times = (bits) => bits > 0 ? `32 is ${short(32 / bits)} times as much` : "";
    const tiles = [
      ["Step", count(p.step || 0), `of ${count(start.steps_total)}, epoch ${short(+(p.epoch || 0).toFixed(2))}`],
      ["Training loss", short(p.train_loss), `accuracy ${p.train_accuracy === undefined ? "–" : (100 * p.train_accuracy).toFixed(2) + " %"}`],
      ["Test accuracy", last ? (100 * last.test_accuracy).toFixed(2) + " %" : "–", last ? `loss ${short(last.test_loss)}` : "after an epoch"],
      ["Bits up", short(p.bits_per_element_up), times(p.bits_per_element_up)],
      ["Bits down", short(p.bits_per_element_down), times(p.bits_per_element_down)],
      ["Steps a second", short(p.steps_per_second), `learning rate ${short(p.learning_rate)}`],
    ];
    get("tiles").replaceChildren(...tiles.map(([name, value, more]) => {
      const tile = document.createElement("div");
      tile.className = "tile";
      const b = document.createElement("b");
      b.textContent = value;
      const label = document.createElement("span");
      label.textContent = name;
      const under = document.createElement("span");
      under.textContent = more;
      tile.append(label, b, under);
      return tile;
    }));
  };

  const drawWorkers = () => {
    const body = status.workers.map((w) => {
      const tr = document.createElement("tr");
      const state = cell("", true);
      state.append(badge(w.state));
      const times = w.time_ms || {};
      const split = document.createElement("div");
      split.className = "split";
      split.title = kParts.map((p) => `${p} ${short(times[p])} ms`).join(", ");
      kParts.forEach((part, i) => {
        const piece = document.createElement("i");
        piece.style.width = 100 * (times[part] || 0) / (times.total || 1) + "%";
        piece.style.background = `var(${kPartColors[i]})`;
        split.append(piece);
      });
      const time = document.createElement("td");
      time.append(split);
      tr.append(cell(w.rank, true), state, cell(count(w.step)),
        cell(short(w.lag_steps)), cell(count(w.samples_per_second)),
        cell(short(times.total)), time,
        cell(count(w.wire_bytes_up) + "B"), cell(count(w.wire_bytes_down) + "B"));
      return tr;
    });
    get("workers").replaceChildren(head(["Rank", "State", "Step", "Behind",
      "Samples/s", "Step ms", "compute · encode · wait · decode · apply",
      "Up", "Down"], [0, 1]), ...body);
  };

  const drawTensors = () => {
    const body = [];
    for (const tensor of status.tensors) {
      const seen = observed[tensor.name];
      const tr = document.createElement("tr");
      const name = document.createElement("td");
      name.className = "left";
      if (seen) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = (chosen === tensor.name ? "▾ " : "▸ ") + tensor.name;
        button.setAttribute("aria-expanded", chosen === tensor.name);
        name.append(button);
        tr.className = "open-able" + (chosen === tensor.name ? " chosen" : "");
        tr.onclick = () => {
          chosen = chosen === tensor.name ? null : tensor.name;
          drawTensors();
        };
      } else {
        name.textContent = tensor.name;
      }
      tr.append(name, cell(tensor.shape.join("×"), true),
        cell(count(tensor.elements)),
        cell(tensor.codec + (tensor.error_feedback ? " + feedback" : ""), true),
        cell(tensor.quantizer, true), cell(tensor.down, true),
        cell(short(seen && seen.bits_per_element)),
        cell(short(seen && seen.entropy_bits)), cell(tensor.shard));
      body.push(tr);
      if (seen && chosen === tensor.name) {
        const more = document.createElement("tr");
        more.className = "details";
        const td = document.createElement("td");
        td.colSpan = 9;
        const grid = document.createElement("div");
        grid.className = "histograms";
        for (const [key, title, color] of kKinds) {
          if (seen[key]) grid.append(histogram(title, seen[key], color));
        }
        const note = document.createElement("p");
        note.className = "quiet";
        note.textContent = `Step ${seen.step}; a sample of the elements, ` +
          "bars by the square root of the count.";
        td.append(grid, note);
        more.append(td);
        body.push(more);
      }
    }
    get("tensors").replaceChildren(head(["Name", "Shape", "Elements",
      "Gradient codec", "Weights", "Down", "Bits up", "Entropy", "Shard"],
    [0, 1, 3, 4, 5]),
      ...body);
  };

  const drawEvents = () => {
    get("events").replaceChildren(...status.events.slice().reverse().map((e) => {
      const li = document.createElement("li");
      const time = document.createElement("time");
      time.textContent = e.time ? new Date(1000 * e.time).toLocaleTimeString() : "";
      li.className = e.kind;
      li.append(time, e.text);
      return li;
    }));
  };

  // What went over the wire, and what fp32 both ways would have taken.
  const drawWire = () => {
    const p = { ...status.progress, ...status.report };
    const { parameters = 0, workers = 0, first_step = 0 } = status.start || {};
    const steps = Math.max(0, (p.steps || p.step || 0) - first_step);
    const plain = 4 * parameters * workers * steps;
    const row = (name, bytes, bits) => {
      const tr = document.createElement("tr");
      tr.append(cell(name, true), cell(count(bytes) + "B"), cell(short(bits)),
        cell(count(plain) + "B"), cell(bytes > 0 ? short(plain / bytes) : "–"));
      return tr;
    };
    const both = (p.wire_bytes_up || 0) + (p.wire_bytes_down || 0);
    get("wire").replaceChildren(
      head(["Direction", "Bytes", "Bits an element", "fp32", "Times as much"], [0]),
      row("up: gradients", p.wire_bytes_up, p.bits_per_element_up),
      row("down: weights", p.wire_bytes_down, p.bits_per_element_down));
    get("wire-sum").textContent = both > 0
      ? `${count(both)}B in all, headers and control messages included, where fp32 takes ${count(2 * plain)}B.`
      : "";
  };

  const drawMachine = () => {
    const m = status.machine || {};
    const start = status.start || {};
    const facts = [["Host", m.host], ["System", m.system],
      ["CPU", m.cpu ? `${m.cpu}, ${m.cores} cores` : ""],
      ["Memory", m.memory_bytes ? count(m.memory_bytes) + "B" : ""],
      ["Kernels", m.kernels], ["Terse", [m.terse, m.revision].filter((v) => v).join(", commit ")],
      ["Roles", start.servers ? `${start.servers} servers, ${start.workers} workers` : ""],
      ["Parameters", start.parameters ? count(start.parameters) : ""],
      ["Weights", (status.report || {}).weights_sha256]];
    get("machine").replaceChildren(...facts.filter((f) => f[1]).flatMap(([k, v]) => {
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      dt.textContent = k;
      dd.textContent = v;
      return [dt, dd];
    }));
    get("yaml").textContent = status.job.yaml;
  };

  // Most of what is shown stays as it is for a while.
  const shown = {};
  const ifNew = (name, value, drawIt) => {
    const text = JSON.stringify(value);
    if (shown[name] === text) return;
    shown[name] = text;
    drawIt();
  };

  const draw = () => {
    const p = status.progress || {};
    const total = (status.start || {}).steps_total || 0;
    document.title = `${status.job.name} · Terse`;
    get("name").textContent = status.job.name;
    get("phase").textContent = status.phase;
    get("phase").className = "badge " + status.phase;
    get("bar").style.width = (total ? 100 * (p.step || 0) / total : 0) + "%";
    const left = p.steps_per_second > 0 ? (total - p.step) / p.steps_per_second : NaN;
    get("headline").textContent = status.phase === "failed" ? status.reason
      : status.phase === "training" ? `${clock(p.seconds || 0)} so far, ${clock(left)} to go`
      : status.phase === "finished" ? `took ${clock(p.seconds || 0)}` : "waiting for all roles";
    const kept = status.checkpoint;
    if (kept) {
      const age = Math.max(0, (p.seconds || 0) - kept.seconds);
      get("headline").textContent += `; last checkpoint of step ${count(kept.step)}` +
        (status.phase === "training" ? `, ${clock(age)} ago` : "");
    }
    drawTiles();
    drawCurves();
    ifNew("workers", status.workers, drawWorkers);
    ifNew("tensors", [status.tensors, status.observed_step], drawTensors);
    drawWire();
    ifNew("events", status.events, drawEvents);
    ifNew("machine", [status.machine, status.start, status.job], drawMachine);
  };

  const take = (fresh) => {
    rows.push(...fresh.rows);
    if (rows.length > kRowsMax) rows = rows.filter((row, i) => i % 2);
    if (fresh.observed) observed = fresh.observed;
    status = fresh;
    draw();
  };

  const poll = async () => {
    const after = rows.length ? rows[rows.length - 1][0] : -1;
    const seen = status ? status.observed_step : -1;
    try {
      const answer = await fetch(`api/status?after=${after}&observed=${seen}`);
      if (!answer.ok) throw new Error(await answer.text());
      take(await answer.json());
      failures = 0;
      get("link").textContent = "";
    } catch (error) {
      failures += 1;
      get("link").textContent = status
        ? "the coordinator has ended or cannot be reached; this is the last it told"
        : String(error.message);
    }
    if (status && (status.phase === "finished" || status.phase === "failed")) return;
    setTimeout(poll, document.hidden || failures > 5 ? 5000 : 1000);
  };

  const setAxis = (time) => {
    byTime = time;
    get("by-time").setAttribute("aria-pressed", time);
    get("by-step").setAttribute("aria-pressed", !time);
    if (status) drawCurves();
  };
  get("by-step").onclick = () => setAxis(false);
  get("by-time").onclick = () => setAxis(true);
  const recolor = () => Object.values(curves).forEach((c) => c.recolor());
  get("theme").onclick = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    recolor();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);

  if (saved) {
    get("link").textContent = "a saved report";
    take(saved);
  } else {
    poll();
  }
})();
