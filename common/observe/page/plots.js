"use strict";
// Curves (uPlot) and histograms of the status page.
const Plots = (() => {
  const css = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const short = (value) => {
    if (value === null || value === undefined || !isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1e5 || size < 1e-3) return value.toExponential(1);
    return String(+value.toPrecision(4));
  };
  const count = (value) => {
    if (value === null || value === undefined) return "–";
    for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
      if (value >= size) {
        const scaled = value / (unit === "k" ? 1e3 : size);
        return +scaled.toPrecision(3) + " " + unit;
      }
    }
    return String(Math.round(value));
  };
  const clock = (seconds) => {
    if (!isFinite(seconds)) return "–";
    const s = Math.round(seconds);
    const two = (n) => String(n).padStart(2, "0");
    return s >= 3600
      ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
      : `${Math.floor(s / 60)}:${two(s % 60)}`;
  };

  const last = (values) => values.findLast((v) => v !== null && v !== undefined);

  // A plot that keeps its element's width. `series`: {label, color, dash,
  // fill, points}; `log`: the vertical axis; `time`: the horizontal is seconds.
  class Curve {
    constructor(element, series, options) {
      this.element = element;
      this.series = series;
      this.options = options;
      this.data = null;
      new ResizeObserver(() => this.resize()).observe(element);
    }
    resize() {
      const width = Math.floor(this.element.clientWidth);
      if (this.plot && width > 0 && width !== this.plot.width) {
        this.plot.setSize({ width, height: 210 });
        this.tellLast();
      }
    }
    rebuild(byTime) {
      if (this.plot) this.plot.destroy();
      const ink = css("--quiet");
      const grid = { stroke: css("--grid"), width: 1 };
      const axis = { stroke: ink, grid, ticks: grid, font: "11px system-ui" };
      const horizontal = byTime ? clock : count;
      const { log, min, max, format = short } = this.options;
      this.plot = new uPlot({
        width: Math.max(200, Math.floor(this.element.clientWidth)),
        height: 210,
        scales: {
          x: { time: false },
          y: log
            ? { distr: 3, log: 2, range: (u, low, high) => this.logRange(low, high) }
            : { range: (u, low, high) => this.range(low, high, min, max) },
        },
        axes: [
          { ...axis, values: (u, ticks) => ticks.map((t) => t === null ? "" : horizontal(t)) },
          { ...axis, size: 52, values: (u, ticks) => ticks.map((t) => t === null ? "" : format(t)) },
        ],
        series: [
          {
            label: byTime ? "time" : "step",
            value: (u, v, i, at) => horizontal(at === null ? last(u.data[0]) : v),
          },
          ...this.series.map((s) => ({
            label: s.label,
            stroke: css(s.color),
            fill: s.fill ? css(s.color) : undefined,
            width: s.points ? 0 : 1.6,
            dash: s.dash,
            spanGaps: true,
            points: { show: !!s.points, size: 7, fill: css(s.color) },
            value: (u, unused, i, at) => {
              const values = s.show || u.data[i];
              const shown = at === null ? last(values) : values[at];
              return shown === null || shown === undefined ? "–" : format(shown);
            },
          })),
        ],
        legend: { live: true },
        cursor: { y: false },
      }, this.data, this.element);
    }
    range(low, high, min, max) {
      if (low === null || high === null) return [0, 1];
      const pad = (high - low || Math.abs(high) || 1) * 0.06;
      return [min === undefined ? low - pad : min,
        max === undefined ? high + pad : max];
    }
    logRange(low, high) {
      if (!low || !high) return [0.5, 64];
      return [2 ** Math.floor(Math.log2(low) - 0.2),
        2 ** Math.ceil(Math.log2(high) + 0.2)];
    }
    set(data, byTime) {
      const anew = !this.plot || this.byTime !== byTime;
      this.data = data;
      this.byTime = byTime;
      if (anew) this.rebuild(byTime);
      else this.plot.setData(data);
      this.tellLast();
    }
    // The last values, until somebody points at others.
    tellLast() {
      const { idx } = this.plot.cursor;
      if (idx === null || idx === undefined) this.plot.setLegend({ idx: null });
    }
    recolor() {
      if (!this.plot) return;
      this.rebuild(this.byTime);
      this.tellLast();
    }
  }

  // Bars of a histogram, tall by the square root of the count so that tails
  // are seen.
  const histogram = (title, of, color) => {
    const box = document.createElement("div");
    box.className = "histogram";
    const bins = of.counts.length;
    const top = Math.sqrt(Math.max(...of.counts, 1));
    const total = of.counts.reduce((a, b) => a + b, 0) || 1;
    let bars = "";
    of.counts.forEach((n, i) => {
      const height = 100 * Math.sqrt(n) / top;
      const width = 100 / bins;
      bars += `<rect x="${i * width}" y="${100 - height}" width="${width * 0.92}"` +
        ` height="${height}" fill="var(${color})"></rect>`;
    });
    const mean = of.sum / total;
    const deviation = Math.sqrt(Math.max(0, of.sum_squares / total - mean * mean));
    box.innerHTML = `<b></b> <small>σ ${short(deviation)}</small>` +
      `<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img">${bars}</svg>` +
      `<div class="scale"><span>${short(of.min)}</span><span>${short(mean)}</span>` +
      `<span>${short(of.max)}</span></div>`;
    box.querySelector("b").textContent = title;
    return box;
  };

  return { Curve, histogram, short, count, clock };
})();
