// The one name that the scripts of the page share, and what they build with. Whatever is shown becomes text here, so
// nothing that stands in a log can become markup.
"use strict";

const gauge = {
  at: (id) => document.getElementById(id),

  /** Return an element; of its attributes those that are null or false are left out. */
  make(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  },

  /** Set an element's text and tone, and touch nothing where nothing changed. */
  put(element, text, tone = "") {
    if (element.textContent !== text) element.textContent = text;
    const classes = [...element.classList].filter((one) => !gauge.TONES.includes(one));
    if (tone) classes.push(tone);
    const wanted = classes.join(" ");
    if (element.className !== wanted) element.className = wanted;
  },

  TONES: ["good", "bad", "doubt", "faint"],

  /** Show a list of {label, text, hint, tone} as terms with their values. */
  tiles(element, values) {
    while (element.children.length > values.length) element.lastChild.remove();
    values.forEach(({ label, text, hint, tone }, index) => {
      const tile = element.children[index] ?? element.appendChild(
        gauge.make("div", {}, gauge.make("dt"), gauge.make("dd"), gauge.make("dd", { class: "hint" })));
      gauge.put(tile.children[0], label);
      gauge.put(tile.children[1], text, tone);
      gauge.put(tile.children[2], hint === text ? "" : hint ?? "");
    });
  },

  /** Offer these names in a select, the chosen one kept. */
  offer(select, names) {
    const shown = [...select.options].map((option) => option.value);
    if (shown.length === names.length && shown.every((name, index) => name === names[index])) return;
    const chosen = select.value;
    select.replaceChildren(...names.map((name) => gauge.make("option", { value: name }, name)));
    if (names.includes(chosen)) select.value = chosen;
  },

  short: (name) => (name.length > 16 ? `${name.slice(0, 15)}…` : name),

  /** Return a client's name as a chart's label, in which a few tags would be read: whoever made the log chose it. */
  label: (name) => gauge.short(name).replaceAll("&", "&amp;").replaceAll("<", "&lt;"),

  /** Return a duration of nanoseconds for a chart's labels: `1.9 ms`. */
  duration(ns) {
    for (const [unit, size, from] of [["s", 1e9, 1e9], ["ms", 1e6, 1e5], ["µs", 1e3, 1e3]]) {
      if (Math.abs(ns) >= from) return `${+(ns / size).toPrecision(3)} ${unit}`;
    }
    return `${ns} ns`;
  },

  /** Return the time of day of an epoch time in microseconds, as the logs write it: `07:04:21.350`. */
  moment: (us) => (us === null ? "not known" : new Date(us / 1000).toISOString().slice(11, 23)),

  seqs: (ends) => [...new Set(ends)].map((seq) => BigInt(seq).toLocaleString("en")).join("–"),

  cause: (name) => name.replaceAll("_", " "),
};
