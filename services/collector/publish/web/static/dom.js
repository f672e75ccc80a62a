// `gauge`, the only name that the scripts of the page share, with helpers for elements and texts. Texts from a log are only
// ever set as text content, so they cannot become markup.
"use strict";

const gauge = {
  byId: (id) => document.getElementById(id),

  /** Return a new element; attributes that are null, undefined or false are left out. */
  create(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  },

  /** Set an element's text and tone. Writes nothing that is unchanged, so that the browser need not lay out again. */
  setText(element, text, tone = "") {
    if (element.textContent !== text) element.textContent = text;
    const classes = [...element.classList].filter((name) => !gauge.TONES.includes(name));
    if (tone) classes.push(tone);
    const className = classes.join(" ");
    if (element.className !== className) element.className = className;
  },

  TONES: ["good", "bad", "doubt", "faint"],

  /** Show a list of {label, text, hint, tone} in a description list. */
  showTiles(list, tiles) {
    while (list.children.length > tiles.length) list.lastChild.remove();
    tiles.forEach(({ label, text, hint, tone }, index) => {
      const tile = list.children[index] ?? list.appendChild(
        gauge.create("div", {}, gauge.create("dt"), gauge.create("dd"), gauge.create("dd", { class: "hint" })));
      gauge.setText(tile.children[0], label);
      gauge.setText(tile.children[1], text, tone);
      gauge.setText(tile.children[2], hint === text ? "" : hint ?? "");
    });
  },

  /** Set the options of a select element; the selected one stays selected if it is still there. */
  setOptions(select, names) {
    const current = [...select.options].map((option) => option.value);
    if (current.length === names.length && current.every((name, index) => name === names[index])) return;
    const selected = select.value;
    select.replaceChildren(...names.map((name) => gauge.create("option", { value: name }, name)));
    if (names.includes(selected)) select.value = selected;
  },

  shorten: (name) => (name.length > 16 ? `${name.slice(0, 15)}…` : name),

  /** Return a client's name as a label of a chart. Plotly interprets a few tags in labels, and the name comes from a log. */
  chartLabel: (name) => gauge.shorten(name).replaceAll("&", "&amp;").replaceAll("<", "&lt;"),

  /** Return a duration in nanoseconds as a label of a chart: `1.9 ms`. */
  formatDuration(ns) {
    for (const [unit, size, from] of [["s", 1e9, 1e9], ["ms", 1e6, 1e5], ["µs", 1e3, 1e3]]) {
      if (Math.abs(ns) >= from) return `${+(ns / size).toPrecision(3)} ${unit}`;
    }
    return `${ns} ns`;
  },

  /** Return the UTC time of day of an epoch time in microseconds, as in the logs: `07:04:21.350`. */
  timeOfDay: (us) => (us === null ? "not known" : new Date(us / 1000).toISOString().slice(11, 23)),

  /** Return the first and the last number of a range as text, or the number if they are equal. */
  seqRange: (ends) => [...new Set(ends)].map((seq) => BigInt(seq).toLocaleString("en")).join("–"),

  causeText: (name) => name.replaceAll("_", " "),
};
