// "Try the model": texts compared by their vectors, in one view or several, or ranked by a query.
import {at, element} from "./format.js";

const MOST_TEXTS = 12, MOST_VIEWS = 3;
let poolings = [];
let draw_again = () => {};

// What this model can do.
export function offer(choices, status) {
  poolings = choices.poolings;
  const can_rank = choices.labels.length === 1;
  at("tasks").hidden = !can_rank;
  if (can_rank) task("rank").checked = true;
  if (!at("views").childElementCount) add_view();
  document.querySelectorAll(".view select").forEach(fill);
  document.querySelectorAll(".view .layers").forEach((input) => { input.placeholder = status.pooling_layer.join(" "); });
  show_task();
}

const task = (name) => document.querySelector(`input[name=task][value=${name}]`);
const is_ranking = () => task("rank").checked && !at("tasks").hidden;

function show_task() {
  at("query-line").hidden = !is_ranking();
  at("options").hidden = is_ranking();
  at("go").textContent = is_ranking() ? "Rank" : "Compare";
}

function fill(select) {
  const before = select.value;
  select.replaceChildren(element("option", "as the server is set", {value: ""}), ...poolings.map((name) => element("option", name, {value: name})));
  select.value = poolings.includes(before) ? before : "";
}

function add_view() {
  const view = element("div", "", {className: "view"});
  const field = (text, input) => { const label = element("label", text); label.append(document.createElement("br"), input); return label; };
  const select = element("select", "", {className: "pooling"});
  view.append(
    field("Pooling", select),
    field("Layers", element("input", "", {className: "layers", inputMode: "text"})),
    field("Dimensions", element("input", "", {className: "dimensions", inputMode: "numeric", placeholder: "all"})),
  );
  if (at("views").childElementCount) {
    const remove = element("button", "Remove", {type: "button", className: "plain"});
    remove.addEventListener("click", () => { view.remove(); at("add-view").hidden = false; });
    view.append(remove);
  }
  fill(select);
  at("views").append(view);
  at("add-view").hidden = at("views").childElementCount >= MOST_VIEWS;
}

// The views as the form has them; what is left open is as the server is set.
function views() {
  return [...document.querySelectorAll(".view")].map((row) => {
    const view = {}, pooling = row.querySelector(".pooling").value;
    const layers = row.querySelector(".layers").value.trim(), dimensions = row.querySelector(".dimensions").value.trim();
    if (pooling) view.pooling = pooling;
    if (layers) view.layers = layers.split(/[\s,]+/).map(Number);
    if (dimensions) view.dimensions = Number(dimensions);
    return view;
  });
}

const caption = (view) => Object.entries(view).map(([name, value]) => `${name} ${value}`).join(", ") || "as the server is set";

async function ask(path, body) {
  const model = at("models").value ? {model: at("models").value} : {};
  const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({...body, ...model})});
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error((content.error && content.error.message) || `The server answered with status ${answer.status}.`);
  return content;
}

async function compare(texts) {
  const asked = views(), is_plain = asked.length === 1 && !Object.keys(asked[0]).length;
  const content = await ask("encode", is_plain ? {texts} : {texts, views: asked});
  const all = is_plain ? [content.results] : content.results;
  if (Array.isArray(all[0][0][0])) throw new Error("This model returns a vector for each token. Choose a pooling under Views.");
  draw_again = () => {
    const tables = all.map((vectors, index) => matrix(texts, vectors, all.length > 1 ? caption(asked[index]) : ""));
    at("results").replaceChildren(...tables, scale());
  };
  at("results-title").textContent = "Cosine similarity";
  return content.truncated || [];
}

async function rank(texts) {
  const content = await ask("rerank", {query: at("query").value, documents: texts});
  draw_again = () => at("results").replaceChildren(ranked(texts, content.results));
  at("results-title").textContent = "Texts by their score for the query";
  return [];
}

function color(name) {
  const digits = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1);
  return [0, 2, 4].map((start) => parseInt(digits.slice(start, start + 2), 16));
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// The scale is fixed: from 0, or less, to 1.
function paint(cell, similarity) {
  const share = Math.min(1, Math.max(0, similarity)), low = color("--heat-low"), high = color("--heat-high");
  const rgb = low.map((value, index) => Math.round(value + share * (high[index] - value)));
  cell.style.background = `rgb(${rgb})`;
  cell.style.color = luminance(rgb) > 0.179 ? "#000" : "#fff"; // whichever stands out more
}

function matrix(texts, vectors, title) {
  const lengths = vectors.map((vector) => Math.hypot(...vector));
  const cosine = (i, j) => vectors[i].reduce((sum, value, k) => sum + value * vectors[j][k], 0) / (lengths[i] * lengths[j] || 1);
  const table = element("table", "", {className: "matrix"}), head = table.createTHead().insertRow(), body = table.createTBody();
  if (title) table.createCaption().textContent = title;
  head.append(element("td"), ...texts.map((text, index) => element("th", index + 1, {scope: "col", title: text})));
  texts.forEach((text, i) => {
    const row = body.insertRow();
    row.append(element("th", `${i + 1} ${text}`, {scope: "row", title: text}));
    texts.forEach((other, j) => {
      const cell = element("td", cosine(i, j).toFixed(2), {title: `${text} / ${other}`});
      paint(cell, cosine(i, j));
      row.append(cell);
    });
  });
  return table;
}

function scale() {
  const line = element("p", "", {className: "scale"});
  line.append(element("span", "0"), element("i"), element("span", "1"), element("span", "the scale is fixed"));
  return line;
}

function ranked(texts, results) {
  const table = element("table", "", {className: "ranked"}), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const title of ["Rank", "Score", "Text"]) head.append(element("th", title, {scope: "col"}));
  results.forEach((one, index) => {
    const row = body.insertRow();
    row.append(element("td", index + 1), element("td", one.relevance_score.toFixed(3)), element("td", texts[one.index], {className: "text"}));
  });
  return table;
}

function note(given, texts, truncated) {
  const left_out = given.length - texts.length;
  const notes = [];
  if (left_out) notes.push(`The first ${texts.length} of ${given.length} texts were taken; ${left_out} left out.`);
  if (truncated.length) notes.push(`Cut because they are too long: ${truncated.map((index) => `text ${index + 1}`).join(", ")}.`);
  at("noted").textContent = notes.join(" ");
}

at("try").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (at("go").disabled) return;
  const given = at("texts").value.split("\n").map((line) => line.trim()).filter(Boolean), texts = given.slice(0, MOST_TEXTS);
  at("said").textContent = at("noted").textContent = "";
  if (!texts.length) { at("said").textContent = "Enter at least one text."; return; }
  at("go").disabled = true;
  at("go").textContent = "Working…";
  at("results").setAttribute("aria-busy", "true");
  try {
    const truncated = await (is_ranking() ? rank(texts) : compare(texts));
    draw_again();
    note(given, texts, truncated);
  } catch (error) {
    at("said").textContent = error instanceof TypeError ? "No answer: there is no connection to the server." : error.message;
  } finally {
    at("go").disabled = false;
    at("results").removeAttribute("aria-busy");
    show_task();
  }
});
at("try").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); at("try").requestSubmit(); }
});
at("add-view").addEventListener("click", add_view);
document.querySelectorAll("input[name=task]").forEach((input) => input.addEventListener("change", show_task));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw_again());
