// Tables that are updated while they are read: rows keep their elements, are sorted and filtered, and only changed cells are
// written. A cell is {text, value, tone}; rows are sorted by `value`.
"use strict";

gauge.Table = class {
  /** `renderers` draw the cells of a column, by its key, in another way than as text; `onRows` gets the numbers of visible and
   *  of all rows. */
  constructor(table, caption, { sortable = false, renderers = {}, onRows = null } = {}) {
    this.body = gauge.create("tbody");
    this.head = gauge.create("tr");
    table.append(gauge.create("caption", { class: "unseen" }, caption), gauge.create("thead", {}, this.head), this.body);
    Object.assign(this, { sortable, renderers, onRows, columns: [], rows: [], elements: new Map(), query: "", sortColumn: null, isDescending: false });
  }

  /** Show columns {key, label, hint, numeric} and rows of cells. A row is identified by the text of its first cell. */
  show({ columns, rows }) {
    this.setColumns(columns);
    const counts = new Map();
    this.rows = rows.map((cells) => {
      const count = counts.get(cells[0].text) ?? 0;
      counts.set(cells[0].text, count + 1);
      return { key: `${count} ${cells[0].text}`, cells };
    });
    this.draw();
  }

  /** Show only rows with a cell that contains a text. */
  filter(text) {
    this.query = text.trim().toLowerCase();
    this.draw();
  }

  setColumns(columns) {
    const isUnchanged = columns.length === this.columns.length && columns.every((column, index) => column.key === this.columns[index].key);
    this.columns = columns;
    if (isUnchanged) return;
    this.elements.clear();
    this.sortColumn = null;
    this.head.replaceChildren(...columns.map(({ key, label, hint, numeric }, index) => {
      const text = label || gauge.create("span", { class: "unseen" }, key);
      const content = this.sortable ? gauge.create("button", { type: "button" }, text) : text;
      if (this.sortable) content.addEventListener("click", () => this.sort(index));
      return gauge.create("th", { scope: "col", title: hint || null, class: this.cellClass(key, numeric) }, content);
    }));
  }

  /** Sort by a column: ascending, the second time descending, the third time in the original order. */
  sort(index) {
    if (this.sortColumn !== index) [this.sortColumn, this.isDescending] = [index, false];
    else if (!this.isDescending) this.isDescending = true;
    else this.sortColumn = null;
    [...this.head.children].forEach((head, column) => {
      if (column === this.sortColumn) head.setAttribute("aria-sort", this.isDescending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.draw();
  }

  draw() {
    const visible = this.rows.filter(({ cells }) =>
      !this.query || cells.some((cell) => cell.text.toLowerCase().includes(this.query)));
    if (this.sortColumn !== null) visible.sort((a, b) => this.compare(a.cells[this.sortColumn], b.cells[this.sortColumn]));
    const order = visible.map((row) => this.rowElement(row));
    order.forEach((element, index) => {
      if (this.body.children[index] !== element) this.body.insertBefore(element, this.body.children[index] ?? null);
    });
    while (this.body.children.length > order.length) this.body.lastChild.remove();
    const keys = new Set(this.rows.map((row) => row.key));
    for (const key of this.elements.keys()) if (!keys.has(key)) this.elements.delete(key);
    this.nameBlankColumns();
    if (this.onRows) this.onRows(visible.length, this.rows.length);
  }

  /** Name columns without a number above 0 or a text. On a phone, where they push others out of sight, the style sheet hides some. */
  nameBlankColumns() {
    this.columns.forEach(({ key }, index) => {
      const isBlank = this.rows.every(({ cells }) => !cells[index].value);
      this.body.parentElement.classList.toggle(`no-${key}`, isBlank);
    });
  }

  compare(a, b) {
    // Unknown values are last in both directions.
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    const order = typeof a.value === "number" && typeof b.value === "number"
      ? a.value - b.value : String(a.value).localeCompare(String(b.value), "en", { numeric: true });
    return this.isDescending ? -order : order;
  }

  /** Texts are aligned to the left. The style sheet hides columns, by their key, on narrow screens. */
  cellClass(key, numeric) {
    return numeric === false ? `left of-${key}` : `of-${key}`;
  }

  rowElement({ key: rowKey, cells }) {
    let element = this.elements.get(rowKey);
    if (!element) {
      element = gauge.create("tr", {}, ...this.columns.map(({ key, numeric }, index) => (
        index ? gauge.create("td", { class: this.cellClass(key, numeric) }) : gauge.create("th", { scope: "row" }))));
      this.elements.set(rowKey, element);
    }
    cells.forEach((cell, index) => {
      const render = this.renderers[this.columns[index].key];
      if (!render || !render(element.children[index], cells)) gauge.setText(element.children[index], cell.text, cell.tone);
    });
    return element;
  }
};

/** Draw values from 0 to `top` as a line in a cell, interrupted by null; return false if there are too few to draw. */
gauge.drawSparkline = (cell, values, top) => {
  if (values.filter((value) => value !== null).length < 2 || !top) return false;
  const step = 100 / (values.length - 1);
  let command = "M";
  const path = values.map((value, index) => {
    const [current, x, y] = [command, (index * step).toFixed(1), (19 - 18 * (value ?? 0) / top).toFixed(1)];
    command = value === null ? "M" : "L";
    return value === null ? "" : `${current}${x} ${y}`;
  }).join("");
  if (cell.dataset.path === path) return true;
  cell.dataset.path = path;
  const SVG = "http://www.w3.org/2000/svg";
  const [picture, line] = ["svg", "path"].map((name) => document.createElementNS(SVG, name));
  const attributes = { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": "highest latency over time" };
  for (const [name, value] of Object.entries(attributes)) picture.setAttribute(name, value);
  line.setAttribute("d", path);
  picture.append(line);
  cell.replaceChildren(picture);
  return true;
};
