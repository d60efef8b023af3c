// The dashboard: hears how the service is each second, and shows it.
import {draw_all} from "./charts.js";
import {listen} from "./connection.js";
import {at} from "./format.js";
import {show_overview} from "./overview.js";
import {offer} from "./try.js";

const SPAN_S = 3600;
let samples = [];
let is_first = true; // of a connection
let gateway_restarts = null;
let is_marked = true;

function show(event) {
  note_gateway(event.status.processes || []);
  if (event.samples.length) {
    take(event.samples);
    draw_all(samples);
  }
  show_overview(event, samples);
  if (event.choices) offer(event.choices, event.status);
}

// A new connection begins with the last hour as the gateway knows it. One that was started anew knows of nothing before.
function take(some) {
  const kept = is_first ? samples.filter((sample) => sample.time_s < some[0].time_s) : samples;
  is_first = false;
  if (!is_marked) some[0].restarted.push("gateway");
  is_marked = true;
  const end = some[some.length - 1].time_s;
  samples = kept.concat(some).filter((sample) => sample.time_s > end - SPAN_S);
}

function note_gateway(processes) {
  const own = processes.find((process) => process.name === "gateway");
  if (!own) return;
  if (gateway_restarts !== null && own.restarts > gateway_restarts) is_marked = false;
  gateway_restarts = own.restarts;
}

at("models").addEventListener("change", () => { location.search = new URLSearchParams({model: at("models").value}); });
draw_all(samples);
listen(show, () => { is_first = true; });
