// Numbers, times and elements, as all parts of the page write them.

export const at = (id) => document.getElementById(id);

export function element(name, content = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = content;
  Object.assign(made, attributes);
  return made;
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  if (value >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${number(value)} ms`;
}

export function seconds(value) {
  return value === null || value === undefined ? "–" : milliseconds(1000 * value);
}

export function span(value_s) {
  const minutes = Math.floor(value_s / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${Math.floor(value_s % 60)} s` : `${Math.floor(value_s)} s`;
}

export function clock(time_s, parts = {hour: "2-digit", minute: "2-digit", second: "2-digit"}) {
  return new Date(1000 * time_s).toLocaleTimeString([], {...parts, hourCycle: "h23"});
}
