// Shows the summary as it comes. Whatever is shown goes through textContent, so nothing in a log becomes markup.
"use strict";

const QUANTILES = ["min", "p50", "p90", "p99", "p99_9", "max"];
const TIMES = [["Latency from due time", "latency_ns"], ["Latency from send time", "transit_ns"],
  ["Spread first to last client", "spread_ns"], ["Time to receive a block", "block_duration_ns"]];
const TONES = { PASS: "good", FAIL: "bad", INVALID: "doubt" };
const CLIENT_COLUMNS = [
  ["Client", (c) => c.client], ["State", (c) => c.state], ["Block size", (c) => count(c.block_size)],
  ["Blocks", (c) => count(c.blocks)], ["Received", (c) => count(c.received)],
  ["Block p50", (c) => time(c.block_duration_ns.p50)],
  ["Latency p99", (c) => time(c.latency_ns.p99 ?? c.transit_ns.p99)],
  ["Missing", (c) => count(c.missing), (c) => c.missing], ["Duplicates", (c) => count(c.duplicates), (c) => c.duplicates],
  ["Reordered", (c) => count(c.reordered), (c) => c.reordered], ["Corrupt", (c) => count(c.corrupt), (c) => c.corrupt],
];
const at = (id) => document.getElementById(id);
let updated = 0;
let connected = false;

function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: 0 });
}

function time(ns) {
  if (ns === null || ns === undefined) return "–";
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(1)} s`;
  return ns >= 1e5 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e3).toFixed(1)} µs`;
}

function element(name, text, tone) {
  const made = document.createElement(name);
  made.textContent = text;
  if (tone) made.className = tone;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function heads(id, names) {
  at(id).replaceChildren(...names.map((name) => {
    const made = element("th", name);
    made.scope = "col";
    return made;
  }));
}

function tiles(s) {
  const t = s.totals;
  const values = [["State", s.state], ["Clients", count(s.clients.length)],
    ["Received", count(t.received)], ["Expected", count(t.expected)], ["Missing", count(t.missing), t.missing],
    ["Duplicates", count(t.duplicates), t.duplicates], ["Residual", count(t.residual), t.residual],
    ["Rate", `${count(t.messages_per_second)}/s`], ["Latency p99", time(s.latency_ns.p99 ?? s.transit_ns.p99)]];
  at("tiles").replaceChildren(...values.map(([name, value, bad]) => {
    const tile = document.createElement("div");
    tile.append(element("dt", name), element("dd", value, bad ? "bad" : ""));
    return tile;
  }));
}

function show(s) {
  at("verdict").textContent = s.verdict ?? s.state;
  at("verdict").className = TONES[s.verdict] ?? "";
  document.title = `${s.verdict ?? s.state} · Streamgauge`;
  at("headline").textContent = s.headline;
  at("run").textContent = `run ${s.run}`;
  at("reasons").replaceChildren(...s.reasons.slice(1, 21).map((reason) => element("li", reason)));
  tiles(s);
  at("clients").replaceChildren(...s.clients.slice(0, 500).map((client) =>
    row(CLIENT_COLUMNS.map(([, read, bad]) => element("td", read(client), bad && bad(client) ? "bad" : "")))));
  at("times").replaceChildren(...TIMES.map(([name, key]) =>
    row([element("td", name), ...QUANTILES.map((q) => element("td", time(s[key][q])))])));
  at("checks").replaceChildren(
    ...s.checks.map((c) => row([element("td", c.name), answer(c.ok), element("td", c.detail)])),
    ...s.thresholds.map((l) => row([element("td", l.expression), answer(l.ok),
      element("td", l.detail)])));
}

function answer(ok) {
  return ok === null ? element("td", "–") : element("td", ok ? "✓ yes" : "✗ no", ok ? "good" : "bad");
}

function age() {
  at("dot").className = connected ? "on" : "";
  const seconds = Math.max(0, Math.round((Date.now() - updated) / 1000));
  const since = updated ? `updated ${seconds} s ago` : "waiting for the first run";
  at("age").textContent = connected ? since : `disconnected${updated ? `, ${since}` : ""}`;
}

heads("client-heads", CLIENT_COLUMNS.map(([name]) => name));
heads("time-heads", ["", "min", "p50", "p90", "p99", "p99.9", "max"]);
const events = new EventSource("/events");
events.onopen = () => { connected = true; age(); };
events.onerror = () => { connected = false; age(); };
events.onmessage = (event) => { updated = Date.now(); show(JSON.parse(event.data)); age(); };
setInterval(age, 1000);
