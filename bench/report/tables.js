"use strict";
// Data becomes text nodes and attributes, never markup: a name is shown as it is written.

const find = (selector, inside = document) => inside.querySelector(selector);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeTable(head, lines, label) {
  const numeric = (place) => lines.every((line) => /^([-+<]?\d.*)?$/.test(line[place]));
  const kinds = head.map((_, place) => (numeric(place) ? "r" : "l"));
  const titles = head.map((name, place) => make("th", { scope: "col", class: kinds[place] }, name));
  const rows = lines.map((line) =>
    make("tr", {}, ...line.map((cell, place) =>
      place ? make("td", { class: kinds[place] }, cell) : make("th", { scope: "row", class: kinds[0] }, cell))));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
}

function makeDetails(title, ...children) {
  return make("details", {}, make("summary", {}, title), ...children);
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function part(name, number) {
  const element = document.getElementById(`${name}-${number}`);
  return element ? JSON.parse(await unpack(element.textContent)) : null;
}

// ------------------------------------------------------------------ sorting

function sortKey(text, numeric) {
  if (!numeric) return text.trim().toLowerCase();
  const number = text.replaceAll(",", "").match(/[-+]?\d+(\.\d+)?/);
  if (!number) return null;
  const unit = text.match(/^\S+ (min|h)$/);
  return Number(number[0]) * (unit ? { min: 60, h: 3600 }[unit[1]] : 1);
}

function sortBy(heading) {
  const numeric = !heading.classList.contains("l");
  const wasFirst = heading.getAttribute("aria-sort");
  const first = heading.textContent.trim().startsWith("#") || !numeric ? "ascending" : "descending";
  const order = wasFirst === first ? { ascending: "descending", descending: "ascending" }[first] : first;
  const sign = order === "ascending" ? 1 : -1;
  const place = heading.cellIndex;
  const body = find("tbody", heading.closest("table"));
  const keyed = [...body.rows].map((row) => [sortKey(row.cells[place].textContent, numeric), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null || a === "" || b === "") return (a === null || a === "") - (b === null || b === "");
    return a < b ? -sign : a > b ? sign : 0;
  });
  body.append(...keyed.map(([, row]) => row));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
}

// ------------------------------------------------------------------ filters

const form = find("#filters");
const texts = new Map();

function textOf(element, more = "") {
  if (!texts.has(element)) texts.set(element, `${more} ${element.textContent}`.toLowerCase());
  return texts.get(element);
}

function applyFilters() {
  const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { shift, preset, rule, status } = Object.fromEntries(
    ["shift", "preset", "rule", "status"].map((name) => [name, form[name].value]));
  const fits = (element, names) => Object.entries(names).every(([name, value]) => !value || element.dataset[name] === value);
  const says = (text) => words.every((word) => text.includes(word));
  let rows = 0;
  for (const board of all("article")) {
    const title = find("h3", board).textContent;
    const fitting = fits(board, { shift, preset, rule });
    let here = 0;
    for (const row of all(".board tbody tr", board)) {
      const statuses = row.dataset.status.split(" ");
      row.hidden = !(fitting && says(textOf(row, title)) && (!status || statuses.includes(status)));
      here += !row.hidden;
    }
    board.hidden = !here;
    rows += here;
  }
  let runs = 0;
  for (const run of all(".run")) {
    run.hidden = !(fits(run, { shift, preset, status }) && says(textOf(run.firstElementChild)));
    runs += !run.hidden;
  }
  find("output", form).value =
    `${rows} of ${all(".board tbody tr").length} rows, ${runs} of ${all(".run").length} runs`;
}

function showRuns(row) {
  const board = row.closest("article");
  form.reset();
  form.text.value = row.dataset.label;
  form.shift.value = board.dataset.shift;
  form.preset.value = board.dataset.preset;
  applyFilters();
  find("#runs").scrollIntoView();
  find("#runs").focus();
}

function linkSeeds(board) {
  const place = all("thead th", board).findIndex((heading) => heading.textContent.trim() === "Seeds");
  for (const row of all("tbody tr[data-label]:not([data-label=''])", board)) {
    const cell = row.cells[place];
    const button = make("button", { type: "button", "aria-label": `${cell.textContent}: show the runs of ${row.dataset.label}` }, cell.textContent);
    button.addEventListener("click", () => showRuns(row));
    cell.replaceChildren(button);
  }
}
