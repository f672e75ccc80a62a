// The charts that are drawn from the slots of the timeline: how much came, how late, and how late how often.
"use strict";

(() => {
  const { colour } = gauge.theme;
  const MIDDLE = ([at, step]) => at + step / 2;
  const ms = (us) => us / 1000;

  function line(name, x, y, shade, extra = {}) {
    return {
      name, x, y, type: "scatter", mode: x.length === 1 ? "markers" : "lines", line: { color: colour(shade), width: 2, shape: "linear" },
      marker: { color: colour(shade) }, connectgaps: false, ...extra,
    };
  }

  /** Return when each slot has its middle: a line through the middles leans neither way. */
  const middles = ({ slots, step_us: step }) => slots.map((slot) => MIDDLE([ms(slot.at_us), ms(step)]));

  function throughput(drawing) {
    const rates = drawing.slots.map((slot) => slot.messages * 1e6 / drawing.step_us);
    const trace = line("messages", middles(drawing), rates, "one", {
      fill: "tozeroy", fillcolor: colour("cold"), line: { color: colour("one"), width: 2, shape: "hvh" }, hovertemplate: "%{y:,.0f} messages/s<extra></extra>",
    });
    return { traces: [trace], layout: { showlegend: false, yaxis: { title: { text: "messages/s", standoff: 6 }, rangemode: "tozero", tickformat: ",~s" } } };
  }

  function latency(drawing) {
    const x = middles(drawing);
    const rows = [
      ["longest", "latency", 2, "top", { line: { color: colour("top"), width: 1.2 } }],
      ["p99", "latency", 1, "high", {}],
      ["p50", "latency", 0, "middle", {}],
      ["p99 from sending", "transit", 1, "one", { line: { color: colour("one"), width: 1.6, dash: "dot" } }],
    ];
    const traces = rows.map(([name, key, index, shade, extra]) => {
      const y = drawing.slots.map((slot) => slot[key]?.[index] ?? null);
      return line(name, x, y, shade, { text: y.map((ns) => (ns === null ? "" : gauge.duration(ns))), hovertemplate: "%{text}", ...extra });
    }).filter((trace) => trace.y.some((ns) => ns !== null));
    const known = traces.flatMap((trace) => trace.y).filter((ns) => ns > 0);
    const yaxis = gauge.charts.durations("latency", ...(known.length ? [least(known), most(known)] : [1e5, 1e8]));
    return { traces, layout: { showlegend: true, yaxis } };
  }

  const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
  const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);

  function heat(drawing) {
    const rows = drawing.slots.flatMap((slot) => slot.heat.map(([row]) => row));
    const [low, high] = rows.length ? [least(rows), most(rows)] : [40, 50];
    const z = Array.from({ length: high - low + 1 }, () => Array(drawing.slots.length).fill(null));
    drawing.slots.forEach((slot, at) => slot.heat.forEach(([row, count]) => { z[row - low][at] = count; }));
    const edges = z.map((_, index) => 2 ** ((low + index) / 2)).concat(2 ** ((high + 1) / 2));
    const peak = most([1, ...z.flat().filter((count) => count !== null)]);
    const ticks = [...Array(Math.floor(Math.log10(peak)) + 1).keys()];
    const text = z.map((row, index) => row.map((count) => (count === null ? "" :
      `${count.toLocaleString("en")} messages, ${gauge.duration(edges[index])} to ${gauge.duration(edges[index + 1])}`)));
    const trace = {
      type: "heatmap", x: drawing.slots.map((slot) => ms(slot.at_us)).concat(drawing.slots.length ? ms(drawing.slots.at(-1).at_us + drawing.step_us) : []),
      y: edges, z: z.map((row) => row.map((count) => (count === null ? null : Math.log10(count)))), text, hoverongaps: false,
      hovertemplate: "%{text}<extra></extra>", zmin: 0, zmax: Math.max(1, Math.log10(peak)),
      colorscale: [[0, colour("cold")], [0.55, colour("warm")], [1, colour("hot")]],
      colorbar: { thickness: 8, x: 1.005, xpad: 0, len: 1, outlinewidth: 0, tickvals: ticks, ticktext: ticks.map((power) => (10 ** power).toLocaleString("en", { notation: "compact" })) },
    };
    const yaxis = gauge.charts.durations("latency", edges[0] / 0.8, edges.at(-1) / 1.25);
    return { traces: drawing.slots.length ? [trace] : [], layout: { hovermode: "closest", yaxis } };
  }

  gauge.charts.add("throughput", { plot: throughput });
  gauge.charts.add("latency", { plot: latency });
  gauge.charts.add("heat", { plot: heat });
})();
