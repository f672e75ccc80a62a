// How long each client's blocks took, as a box of quartiles with whiskers.
"use strict";

(() => {
  const { colour } = gauge.theme;
  function durations(drawing) {
    const boxes = drawing.lanes.filter((lane) => lane.bars.length);
    const known = boxes.flatMap((lane) => lane.bars.map((bar) => bar[3])).filter((ns) => ns > 0);
    const traces = boxes.map((lane, index) => ({
      type: "box", name: gauge.label(lane.client), x0: index, y: lane.bars.map((bar) => Math.max(bar[3], 1000)), boxpoints: boxes.length > 30 ? false : "outliers",
      marker: { color: colour("one"), size: 3 }, line: { color: colour("one"), width: 1.2 }, fillcolor: colour("cold"),
      hoverinfo: "skip",
    }));
    const yaxis = gauge.charts.durations("block duration", ...(known.length ? [Math.min(...extremes(known)), Math.max(...extremes(known))] : [1e6, 1e9]));
    const step = Math.ceil(boxes.length / 6);
    const ticks = boxes.map((_, index) => index).filter((index) => index % step === 0);
    const xaxis = { tickvals: ticks, ticktext: ticks.map((index) => gauge.label(boxes[index].client)), tickangle: 0, range: [-0.7, Math.max(boxes.length, 1) - 0.3] };
    return { traces, layout: { showlegend: false, hovermode: false, xaxis, yaxis, dragmode: false, boxgap: 0.3 } };
  }

  const extremes = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];

  gauge.charts.add("durations", { plot: durations, timed: false });
})();
