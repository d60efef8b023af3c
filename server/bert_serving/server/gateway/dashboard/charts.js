// The charts of the last hour: axes with numbers and clock times, marks at restarts, and one crosshair for all of them.
import {clock, number} from "./format.js";

const SPAN_S = 3600, GAP_S = 20, HEIGHT = 150, LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 20;
const STROKES = [["var(--a)", ""], ["var(--b)", "6 3"], ["var(--c)", "2 3"]];
const NAMES = {
  p50_ms: "median", p95_ms: "95%", p99_ms: "99%", urgent_rows: "urgent", bulk_rows: "bulk",
  http_errors_per_s: "HTTP", zmq_errors_per_s: "ZeroMQ",
};
const TIME_STEPS_S = [10, 30, 60, 120, 300, 600, 900];
let samples = [];
let chosen = null; // the sample under the crosshair

export function draw_all(now_samples) {
  samples = now_samples;
  if (chosen && !samples.includes(chosen)) chosen = null;
  boxes().forEach(draw);
}

const boxes = () => document.querySelectorAll("[data-chart]");

// About `count` steps from 0 to what is not below the value: the step is 1, 2 or 5 times a power of ten.
function levels(value, count) {
  const power = 10 ** Math.floor(Math.log10(value / count));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one * count >= value);
  return Array.from({length: Math.ceil(value / step - 1e-9) + 1}, (_, index) => index * step);
}

function times(begin, end, width) {
  const step = TIME_STEPS_S.find((one) => (end - begin) / one <= width / 75) || TIME_STEPS_S[TIME_STEPS_S.length - 1];
  const offset = 60 * new Date().getTimezoneOffset(); // so that steps fall on full hours here
  const found = [];
  for (let time = Math.ceil((begin - offset) / step) * step + offset; time <= end; time += step) found.push(time);
  return found.map((time) => [time, clock(time, step < 60 ? undefined : {hour: "2-digit", minute: "2-digit"})]);
}

function frame(box) {
  const end = samples.length ? samples[samples.length - 1].time_s : Date.now() / 1000;
  const begin = Math.max(end - SPAN_S, Math.min(samples.length ? samples[0].time_s : end, end - 60));
  const width = Math.max(box.clientWidth, 120);
  return {begin, end, width, x: (time) => LEFT + ((time - begin) / (end - begin)) * (width - LEFT - RIGHT)};
}

function draw(box) {
  const names = box.dataset.chart.split(",");
  const {begin, end, width, x} = frame(box);
  const most = Math.max(0, ...names.flatMap((name) => samples.map((sample) => sample[name] || 0)));
  const ticks = levels(most || 1, 4), top = ticks[ticks.length - 1];
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const parts = ticks.map((value) =>
    `<line class="grid-line" x1="${LEFT}" x2="${width - RIGHT}" y1="${y(value)}" y2="${y(value)}"/>` +
    `<text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${number(rounded(value))}</text>`);
  for (const [time, text] of times(begin, end, width)) {
    const half = 3.2 * text.length;
    if (x(time) + half > width || x(time) - half < 0) continue;
    parts.push(`<text x="${x(time)}" y="${HEIGHT - 5}" text-anchor="middle">${text}</text>`);
  }
  for (const sample of samples) {
    if (sample.restarted.length) parts.push(vertical("restart", x(sample.time_s)) + `<path d="M${x(sample.time_s) - 4} 0h8l-4 7z" fill="var(--mark)"/>`);
  }
  names.forEach((name, index) => {
    const [color, dashes] = STROKES[index];
    parts.push(`<path class="line" d="${path_of(name, x, y)}" stroke="${color}" stroke-dasharray="${dashes}"/>`);
  });
  if (chosen) {
    parts.push(vertical("crosshair", x(chosen.time_s)));
    names.forEach((name, index) => {
      if (chosen[name] !== null) parts.push(`<circle cx="${x(chosen.time_s)}" cy="${y(chosen[name])}" r="3.5" fill="${STROKES[index][0]}"/>`);
    });
  }
  const svg = canvas(box);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("aria-label", `${box.previousElementSibling.textContent}: ${legend_text(names)}. The arrow keys move the crosshair.`);
  svg.innerHTML = parts.join("");
  box.lastElementChild.innerHTML = legend(names);
}

const rounded = (value) => Number(value.toPrecision(6));
const vertical = (kind, x) => `<line class="${kind}" x1="${x}" x2="${x}" y1="0" y2="${HEIGHT - BOTTOM}"/>`;
const shown = () => chosen || samples[samples.length - 1] || {};
const escaped = (text) => text.replace(/[&<]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const named = (name) => NAMES[name] || "";

function path_of(name, x, y) {
  let path = "", before = null;
  for (const sample of samples) {
    if (sample[name] === null) { before = null; continue; }
    const is_joined = before !== null && sample.time_s - before < GAP_S;
    path += `${is_joined ? "L" : "M"}${x(sample.time_s).toFixed(1)} ${y(sample[name]).toFixed(1)}${is_joined ? "" : "h0.01"}`;
    before = sample.time_s;
  }
  return path;
}

function legend_text(names) {
  return names.map((name) => `${named(name)} ${number(shown()[name])}`.trim()).join(", ");
}

function legend(names) {
  const sample = shown();
  const items = names.map((name, index) => {
    const [color, dashes] = STROKES[index];
    const key = names.length > 1 ? `<svg viewBox="0 0 22 8" aria-hidden="true"><line x2="22" y1="4" y2="4" stroke="${color}" stroke-width="2" stroke-dasharray="${dashes}"/></svg>` : "";
    return `<span>${key}${named(name)} <b>${number(sample[name])}</b></span>`;
  });
  const when = chosen ? clock(chosen.time_s) : samples.length ? "latest" : "no figures yet";
  const restarted = chosen && chosen.restarted.length ? `<span class="mark">restarted: ${escaped(chosen.restarted.join(", "))}</span>` : "";
  return `${items.join("")}<span>${when}</span>${restarted}`;
}

function canvas(box) {
  if (box.firstElementChild) return box.firstElementChild;
  box.innerHTML = `<svg role="img" tabindex="0"></svg><div class="legend"></div>`;
  const svg = box.firstElementChild;
  svg.addEventListener("pointermove", (event) => choose(nearest(box, event.clientX)));
  svg.addEventListener("pointerleave", () => choose(null));
  svg.addEventListener("blur", () => choose(null));
  svg.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") choose(null);
    if (!step || !samples.length) return;
    event.preventDefault();
    const index = chosen ? samples.indexOf(chosen) + step : samples.length - 1;
    choose(samples[Math.min(Math.max(index, 0), samples.length - 1)]);
  });
  return svg;
}

function nearest(box, client_x) {
  const {x} = frame(box);
  const distance = (sample) => Math.abs(x(sample.time_s) - (client_x - box.getBoundingClientRect().left));
  return samples.reduce((best, sample) => (best && distance(best) <= distance(sample) ? best : sample), null);
}

function choose(sample) {
  if (sample === chosen) return;
  chosen = sample;
  boxes().forEach(draw);
}

new ResizeObserver(() => boxes().forEach(draw)).observe(document.querySelector(".grid"));
