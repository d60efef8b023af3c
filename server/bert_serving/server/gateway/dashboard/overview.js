// The header, the tiles, the processes and the settings.
import {at, clock, element, milliseconds, number, seconds, span} from "./format.js";

export function show_overview(event, samples) {
  const {status, http} = event;
  show_models(event.model, event.models);
  if (!status.queue) return;
  const last = samples[samples.length - 1] || {};
  const values = {
    model: status.model_name, version: status.version, device: devices(status.processes),
    fingerprint: (status.model.fingerprint || "–").slice(0, 12), uptime: event.uptime_s === null ? "–" : span(event.uptime_s),
    sentences: number(last.sentences_per_s), tokens: number(last.tokens_per_s),
    median: milliseconds(status.latency.p50_ms), p95: within(status.latency.p95_ms),
    wait: seconds(status.queue.wait_s), open: request_count(status.queue.open_requests), waiting: text_count(status.queue.waiting_rows),
    clients: number(status.statistic.num_active_client), http: `${http.running} running, ${http.waiting} waiting`,
    errors: number(http.errors + event.zmq_errors), "http-errors": number(http.errors), "zmq-errors": number(event.zmq_errors),
  };
  for (const [id, text] of Object.entries(values)) if (at(id).textContent !== text) at(id).textContent = text;
  at("fingerprint").title = status.model.fingerprint;
  show_processes(status);
  if (event.settings) show_settings(event.settings);
  const restarts = samples.flatMap((sample) => sample.restarted.map((name) => `${name} at ${clock(sample.time_s)}`));
  at("restarts").textContent = restarts.length ? `Restarted in the last hour: ${restarts.slice(-8).join(", ")}` : "";
}

const within = (value) => (value === undefined ? "no request in the last minute" : `95% within ${milliseconds(value)}, last minute`);
const request_count = (count) => `${number(count)} request${count === 1 ? "" : "s"}`;
const text_count = (count) => `${number(count)} text${count === 1 ? "" : "s"}`;

function devices(processes) {
  const counts = new Map();
  for (const process of processes) if (process.name.startsWith("worker-")) counts.set(process.device, (counts.get(process.device) || 0) + 1);
  return [...counts].map(([device, count]) => (count > 1 ? `${count} × ${device}` : device)).join(", ") || "–";
}

function show_processes(status) {
  const counts = Object.fromEntries(status.workers.map((worker) => [worker.name, worker]));
  at("processes").replaceChildren(...status.processes.map((process) => {
    const row = element("tr"), own = counts[process.name] || {};
    const silent = process.silent_s === undefined ? "" : `${process.silent_s.toFixed(0)} s ago`;
    row.append(element("th", process.name, {scope: "row"}), element("td", process.device));
    row.append(element("td", process.state, {className: process.state === "ready" ? "good" : "bad"}));
    row.append(element("td", process.restarts), element("td", silent));
    for (const name of ["batches", "batch_rows", "tokens"]) row.append(element("td", own[name] === undefined ? "" : number(own[name])));
    return row;
  }));
}

function show_settings(settings) {
  for (const [id, is_set] of [["set", true], ["unset", false]]) {
    at(id).replaceChildren(...settings.filter((one) => one.is_set === is_set).map((one) => {
      const line = element("div");
      line.append(element("dt", one.name), element("dd", one.value));
      return line;
    }));
  }
}

// The models that one gateway has; with one alone there is nothing to choose.
function show_models(model, models) {
  const select = at("models");
  if ([...select.options].map((option) => option.value).join() === models.join()) return;
  select.replaceChildren(...models.map((name) => element("option", name, {value: name, selected: name === model})));
  select.hidden = models.length < 2;
}
