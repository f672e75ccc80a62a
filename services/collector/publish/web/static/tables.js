// Tables that change under the reader's eyes: rows are kept by their key, sorted and filtered, and only what differs is
// written. A cell is {text, value, tone}; `value` is what is sorted by.
"use strict";

gauge.Table = class {
  /** `key` of a row is the text of its first cell, its head. `draws` fills cells by their column's key in another way. */
  constructor(table, caption, { sortable = false, draws = {}, onRows = null } = {}) {
    this.body = gauge.make("tbody");
    this.head = gauge.make("tr");
    table.append(gauge.make("caption", { class: "unseen" }, caption), gauge.make("thead", {}, this.head), this.body);
    Object.assign(this, { sortable, draws, onRows, columns: [], rows: [], made: new Map(), wanted: "", column: null, descending: false });
  }

  /** Show a table of columns {key, label, hint, numeric} and rows of cells. */
  show({ columns, rows }) {
    this.heads(columns);
    const seen = new Map();
    this.rows = rows.map((cells) => {
      const count = seen.get(cells[0].text) ?? 0;
      seen.set(cells[0].text, count + 1);
      return { key: `${count} ${cells[0].text}`, cells };
    });
    this.draw();
  }

  filter(text) {
    this.wanted = text.trim().toLowerCase();
    this.draw();
  }

  heads(columns) {
    const same = columns.length === this.columns.length && columns.every((one, index) => one.key === this.columns[index].key);
    this.columns = columns;
    if (same) return;
    this.made.clear();
    this.column = null;
    this.head.replaceChildren(...columns.map(({ key, label, hint, numeric }, index) => {
      const named = label || gauge.make("span", { class: "unseen" }, key);
      const inside = this.sortable ? gauge.make("button", { type: "button" }, named) : named;
      if (this.sortable) inside.addEventListener("click", () => this.sort(index));
      return gauge.make("th", { scope: "col", title: hint || null, class: this.kind(key, numeric) }, inside);
    }));
  }

  /** Sort by a column; again turns it round, and a third time gives the order in which the rows came. */
  sort(index) {
    if (this.column !== index) [this.column, this.descending] = [index, false];
    else if (!this.descending) this.descending = true;
    else this.column = null;
    [...this.head.children].forEach((head, at) => {
      if (at === this.column) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.draw();
  }

  draw() {
    const kept = this.rows.filter(({ cells }) =>
      !this.wanted || cells.some((cell) => cell.text.toLowerCase().includes(this.wanted)));
    if (this.column !== null) kept.sort((a, b) => this.compare(a.cells[this.column], b.cells[this.column]));
    const order = kept.map((row) => this.row(row));
    order.forEach((element, index) => {
      if (this.body.children[index] !== element) this.body.insertBefore(element, this.body.children[index] ?? null);
    });
    while (this.body.children.length > order.length) this.body.lastChild.remove();
    const known = new Set(this.rows.map((row) => row.key));
    for (const key of this.made.keys()) if (!known.has(key)) this.made.delete(key);
    if (this.onRows) this.onRows(kept.length, this.rows.length);
  }

  compare(a, b) {
    // What is not known comes last, whichever way is up.
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    const order = typeof a.value === "number" && typeof b.value === "number"
      ? a.value - b.value : String(a.value).localeCompare(String(b.value), "en", { numeric: true });
    return this.descending ? -order : order;
  }

  /** Words go to the left. The key is for the style sheet, which has no room for every column on every screen. */
  kind(key, numeric) {
    return numeric === false ? `left of-${key}` : `of-${key}`;
  }

  row({ key: name, cells }) {
    let element = this.made.get(name);
    if (!element) {
      element = gauge.make("tr", {}, ...this.columns.map(({ key, numeric }, index) => (
        index ? gauge.make("td", { class: this.kind(key, numeric) }) : gauge.make("th", { scope: "row" }))));
      this.made.set(name, element);
    }
    cells.forEach((cell, index) => {
      const draw = this.draws[this.columns[index].key];
      if (!draw || !draw(element.children[index], cells)) gauge.put(element.children[index], cell.text, cell.tone);
    });
    return element;
  }
};

/** Draw a line of values from 0 to `top` in a cell, where null breaks it; return whether there was anything to draw. */
gauge.spark = (cell, values, top) => {
  if (values.filter((value) => value !== null).length < 2 || !top) return false;
  const step = 100 / (values.length - 1);
  let pen = "M";
  const path = values.map((value, index) => {
    const [command, x, y] = [pen, (index * step).toFixed(1), (19 - 18 * (value ?? 0) / top).toFixed(1)];
    pen = value === null ? "M" : "L";
    return value === null ? "" : `${command}${x} ${y}`;
  }).join("");
  if (cell.dataset.path === path) return true;
  cell.dataset.path = path;
  const SVG = "http://www.w3.org/2000/svg";
  const [picture, line] = ["svg", "path"].map((name) => document.createElementNS(SVG, name));
  const attributes = { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": "longest latency over time" };
  for (const [name, value] of Object.entries(attributes)) picture.setAttribute(name, value);
  line.setAttribute("d", path);
  picture.append(line);
  cell.replaceChildren(picture);
  return true;
};
