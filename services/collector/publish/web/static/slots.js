// The charts of the timeline's slots: throughput, latency, and the heat map of latencies.
"use strict";

(() => {
  const { colour } = gauge.theme;
  const milliseconds = (us) => us / 1000;

  function line(name, x, y, shade, extra = {}) {
    return {
      name, x, y, type: "scatter", mode: x.length === 1 ? "markers" : "lines", line: { color: colour(shade), width: 2, shape: "linear" },
      marker: { color: colour(shade) }, connectgaps: false, ...extra,
    };
  }

  /** Return the middle of each slot: a line through the middles is not shifted to either side. */
  const middles = ({ slots, step_us: step }) => slots.map((slot) => milliseconds(slot.at_us) + milliseconds(step) / 2);

  function plotThroughput(data) {
    const rates = data.slots.map((slot) => slot.messages * 1e6 / data.step_us);
    const trace = line("messages", middles(data), rates, "one", {
      fill: "tozeroy", fillcolor: colour("cold"), line: { color: colour("one"), width: 2, shape: "hvh" }, hovertemplate: "%{y:,.0f} messages/s<extra></extra>",
    });
    return { traces: [trace], layout: { showlegend: false, yaxis: { title: { text: "messages/s", standoff: 6 }, rangemode: "tozero", tickformat: ",~s" } } };
  }

  function plotLatency(data) {
    const x = middles(data);
    const rows = [
      ["highest", "latency", 2, "top", { line: { color: colour("top"), width: 1.2 } }],
      ["p99", "latency", 1, "high", {}],
      ["p50", "latency", 0, "middle", {}],
      ["p99 from send time", "transit", 1, "one", { line: { color: colour("one"), width: 1.6, dash: "dot" } }],
    ];
    const traces = rows.map(([name, key, index, shade, extra]) => {
      const y = data.slots.map((slot) => slot[key]?.[index] ?? null);
      return line(name, x, y, shade, { text: y.map((ns) => (ns === null ? "" : gauge.formatDuration(ns))), hovertemplate: "%{text}", ...extra });
    }).filter((trace) => trace.y.some((ns) => ns !== null));
    const durations = traces.flatMap((trace) => trace.y).filter((ns) => ns > 0);
    const yaxis = gauge.charts.durationAxis("latency", ...(durations.length ? [smallest(durations), largest(durations)] : [1e5, 1e8]));
    return { traces, layout: { showlegend: true, yaxis } };
  }

  // Not Math.max(...values): thousands of arguments exceed the stack.
  const largest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
  const smallest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);

  /** Return the heat map. A slot's `heat` is a list of [row, count]; row r holds the latencies from 2^(r/2) ns on. */
  function plotHeat(data) {
    const rows = data.slots.flatMap((slot) => slot.heat.map(([row]) => row));
    const [low, high] = rows.length ? [smallest(rows), largest(rows)] : [40, 50];
    const counts = Array.from({ length: high - low + 1 }, () => Array(data.slots.length).fill(null));
    data.slots.forEach((slot, index) => slot.heat.forEach(([row, count]) => { counts[row - low][index] = count; }));
    const edges = counts.map((_, index) => 2 ** ((low + index) / 2)).concat(2 ** ((high + 1) / 2));
    const peak = largest([1, ...counts.flat().filter((count) => count !== null)]);
    const ticks = [...Array(Math.floor(Math.log10(peak)) + 1).keys()];
    const text = counts.map((row, index) => row.map((count) => (count === null ? "" :
      `${count.toLocaleString("en")} messages, ${gauge.formatDuration(edges[index])} to ${gauge.formatDuration(edges[index + 1])}`)));
    const trace = {
      type: "heatmap", x: data.slots.map((slot) => milliseconds(slot.at_us)).concat(data.slots.length ? milliseconds(data.slots.at(-1).at_us + data.step_us) : []),
      y: edges, z: counts.map((row) => row.map((count) => (count === null ? null : Math.log10(count)))), text, hoverongaps: false,
      hovertemplate: "%{text}<extra></extra>", zmin: 0, zmax: Math.max(1, Math.log10(peak)),
      colorscale: [[0, colour("cold")], [0.55, colour("warm")], [1, colour("hot")]],
      colorbar: { thickness: 8, x: 1.005, xpad: 0, len: 1, outlinewidth: 0, tickvals: ticks, ticktext: ticks.map((power) => (10 ** power).toLocaleString("en", { notation: "compact" })) },
    };
    const yaxis = gauge.charts.durationAxis("latency", edges[0] / 0.8, edges.at(-1) / 1.25);
    return { traces: data.slots.length ? [trace] : [], layout: { hovermode: "closest", yaxis } };
  }

  gauge.charts.add("throughput", { plot: plotThroughput });
  gauge.charts.add("latency", { plot: plotLatency });
  gauge.charts.add("heat", { plot: plotHeat });
})();
