// The stream of events, and what the page shows while there is none: a banner, grey figures, title and favicon.
import {at, clock} from "./format.js";

const SILENT_MS = 5000, RETRY_MS = 2000;
const ICONS = {
  good: "<circle cx='8' cy='8' r='7' fill='%23117a3d'/>",
  bad: "<path d='M8 1 15.5 15H.5z' fill='%23d9822b'/>",
  lost: "<circle cx='8' cy='8' r='6' fill='none' stroke='%23b42323' stroke-width='2.5'/><path d='M4 4l8 8' stroke='%23b42323' stroke-width='2.5'/>",
};
let heard_ms = 0;
let old_since_s = null;

// Calls `show` with each event, and `forget` before the first event of each connection.
export function listen(show, forget) {
  const source = new EventSource("events" + location.search);
  source.onopen = forget;
  source.onmessage = (message) => {
    heard_ms = Date.now();
    const event = JSON.parse(message.data);
    old_since_s = event.status_age_s !== null && event.status_age_s > SILENT_MS / 1000 ? Date.now() / 1000 - event.status_age_s : null;
    show(event);
    mark(event);
  };
  source.onerror = () => {
    lose();
    if (source.readyState !== EventSource.CLOSED) return; // else the browser tries again by itself
    setTimeout(() => listen(show, forget), RETRY_MS);
  };
}

function mark(event) {
  const state = event.trouble || "ready"; // a sentence, or the name of a process and what it is
  at("state").textContent = /^[a-z]+\b(?!-)/.test(state) ? state[0].toUpperCase() + state.slice(1) : state;
  at("state").className = event.trouble ? "bad" : "good";
  name_tab(event.trouble ? "bad" : "good", `${event.trouble || "ready"} – ${event.model}`);
  show_banner(old_since_s === null ? "" : "The service does not answer.", old_since_s);
}

function lose() {
  if (at("banner-text").textContent.startsWith("No connection")) return;
  at("state").textContent = "No connection";
  at("state").className = "bad";
  name_tab("lost", `no connection – ${at("model").textContent}`);
  show_banner("No connection to the server.", heard_ms / 1000);
}

function show_banner(text, since_s) {
  at("banner").hidden = !text;
  document.body.classList.toggle("lost", Boolean(text));
  if (at("banner-text").textContent !== text) at("banner-text").textContent = text;
  if (text) show_age(since_s);
}

function show_age(since_s) {
  const age_s = Math.max(0, Math.round(Date.now() / 1000 - since_s));
  at("banner-age").textContent = since_s ? `All figures are of ${clock(since_s)}, ${age_s} s ago.` : "";
}

function name_tab(state, title) {
  document.title = title;
  at("icon").href = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>${ICONS[state]}</svg>`;
}

// A server that is gone without a word ends no connection: the silence does.
setInterval(() => {
  if (heard_ms && Date.now() - heard_ms > SILENT_MS) lose();
  if (!at("banner").hidden) show_age(old_since_s === null ? heard_ms / 1000 : old_since_s);
}, 1000);
