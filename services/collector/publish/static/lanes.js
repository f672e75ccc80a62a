// What is drawn client by client: block durations, lanes of blocks with what is missing, and the marks that all charts
// over time carry.
"use strict";

gauge.marks = (() => {
  const SHADES = { drop: "bad", reconnect: "bad", leave: "high", pause: "doubt", resume: "good", rate: "accent", end: "faint", start: "faint", join: "faint" };
  const MOST_JOINS = 20;

  /** Return the marks as lines from top to bottom of a chart. */
  function shapes(drawing) {
    const joins = drawing.marks.filter((mark) => mark.kind === "join").length;
    return drawing.marks.filter((mark) => mark.kind !== "join" || joins <= MOST_JOINS).map((mark) => ({
      type: "line", xref: "x", yref: "paper", x0: mark.at_us / 1000, x1: mark.at_us / 1000, y0: 0, y1: 1, layer: "above",
      line: { color: gauge.theme.colour(SHADES[mark.kind] ?? "faint"), width: 1, dash: mark.kind === "start" || mark.kind === "end" ? "solid" : "dot" },
    }));
  }

  return { shapes };
})();

(() => {
  const { colour } = gauge.theme;
  const SHORT = 16;

  const short = (name) => (name.length > SHORT ? `${name.slice(0, SHORT - 1)}…` : name);
  // Plotly reads a few tags in its labels; a name has none, but whoever made the log decides that.
  const plain = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  function durations(drawing) {
    const boxes = drawing.lanes.filter((lane) => lane.bars.length);
    const known = boxes.flatMap((lane) => lane.bars.map((bar) => bar[3])).filter((ns) => ns > 0);
    const traces = boxes.map((lane, index) => ({
      type: "box", name: plain(short(lane.client)), x0: index, y: lane.bars.map((bar) => Math.max(bar[3], 1000)), boxpoints: boxes.length > 30 ? false : "outliers",
      marker: { color: colour("one"), size: 3 }, line: { color: colour("one"), width: 1.2 }, fillcolor: colour("cold"),
      hoverinfo: "skip",
    }));
    const yaxis = gauge.charts.durations("block duration", ...(known.length ? [Math.min(...extremes(known)), Math.max(...extremes(known))] : [1e6, 1e9]));
    const step = Math.ceil(boxes.length / 12);
    const ticks = boxes.map((_, index) => index).filter((index) => index % step === 0);
    const xaxis = { tickvals: ticks, ticktext: ticks.map((index) => plain(short(boxes[index].client))), range: [-0.7, Math.max(boxes.length, 1) - 0.3] };
    return { traces, layout: { showlegend: false, hovermode: false, xaxis, yaxis, dragmode: false, boxgap: 0.3 } };
  }

  const extremes = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];

  function bars(drawing) {
    const trace = { type: "bar", orientation: "h", x: [], y: [], base: [], customdata: [], text: [], width: 0.72, textposition: "none",
      hovertemplate: "%{text}<extra></extra>", marker: { color: [], line: { width: 0.6, color: [] } } };
    const shades = [colour("one"), colour("two")];
    drawing.lanes.forEach((lane, at) => lane.bars.forEach(([session, block, start, duration, first, last, count], index) => {
      trace.x.push(duration / 1e6);
      trace.y.push(at);
      trace.base.push(start / 1000);
      trace.customdata.push([lane.client, session, block]);
      trace.text.push(`${plain(lane.client)}: block ${block} of session ${session}<br>seq ${gauge.seqs([first, last])}, ${count} messages in ${gauge.duration(duration)}`);
      trace.marker.color.push(shades[index % 2]);
      trace.marker.line.color.push(shades[index % 2]);
    }));
    return trace;
  }

  function gaps(drawing) {
    const trace = { type: "bar", orientation: "h", x: [], y: [], base: [], text: [], width: 0.9, textposition: "none",
      hovertemplate: "%{text}<extra></extra>", marker: { color: colour("bad"), line: { width: 2, color: colour("bad") } } };
    drawing.lanes.forEach((lane, at) => lane.gaps.forEach((gap) => {
      const from = gap.from_us ?? gap.to_us;
      if (from === null) return;
      trace.x.push(((gap.to_us ?? from) - from) / 1000);
      trace.y.push(at);
      trace.base.push(from / 1000);
      trace.text.push(`${plain(lane.client)} misses ${gauge.seqs(gap.seqs)}<br>${plain(gap.cause)}`);
    }));
    return trace;
  }

  function lanes(drawing) {
    const count = drawing.lanes.length;
    const row = Math.min(26, Math.max(9, 560 / Math.max(count, 1)));
    const names = drawing.lanes.map((lane) => plain(short(lane.client)));
    const layout = {
      showlegend: false, hovermode: "closest", barmode: "overlay", margin: { l: 120, r: 62, t: 8, b: 30 },
      yaxis: { tickvals: names.map((_, at) => at), ticktext: names, range: [count - 0.5, -0.5], tickfont: { size: Math.min(12, Math.max(8, row - 1)) }, showgrid: false },
    };
    return { traces: [bars(drawing), gaps(drawing)], layout, height: Math.round(38 + Math.max(count, 3) * row) };
  }

  gauge.charts.add("durations", { plot: durations, timed: false });
  gauge.charts.add("lanes", { plot: lanes, onClick: (point) => point.customdata && gauge.block?.show(...point.customdata) });
})();
