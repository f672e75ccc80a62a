// The time to receive a block, for each client as a box plot of quartiles. A block that arrived in one read has no duration:
// all its messages have the same arrival time.
"use strict";

(() => {
  const { colour } = gauge.theme;
  /** Room for the name of a client below the chart. */
  const LABEL_PIXELS = 95;

  function plot(data) {
    const lanes = data.lanes.filter((lane) => lane.bars.length);
    const durations = lanes.flatMap((lane) => lane.bars.map((bar) => bar[3])).filter((ns) => ns > 0);
    const [low, high] = durations.length ? [smallest(durations), largest(durations)] : [1e6, 1e9];
    const yaxis = gauge.charts.durationAxis("block duration", low, high);
    // A logarithmic axis has no 0: blocks without a duration are drawn at its lower edge.
    const lowerEdge = 10 ** yaxis.range[0];
    const traces = lanes.map((lane, index) => ({
      type: "box", name: gauge.chartLabel(lane.client), x0: index, y: lane.bars.map((bar) => bar[3] || lowerEdge), boxpoints: lanes.length > 30 ? false : "outliers",
      marker: { color: colour("one"), size: 3 }, line: { color: colour("one"), width: 1.2 }, fillcolor: colour("cold"),
      hoverinfo: "skip",
    }));
    const step = Math.ceil(lanes.length / Math.min(6, Math.max(2, Math.floor(gauge.byId("durations").clientWidth / LABEL_PIXELS))));
    const ticks = lanes.map((_, index) => index).filter((index) => index % step === 0);
    const xaxis = { tickvals: ticks, ticktext: ticks.map((index) => gauge.chartLabel(lanes[index].client)), tickangle: 0, range: [-0.7, Math.max(lanes.length, 1) - 0.3] };
    return { traces, layout: { showlegend: false, hovermode: false, xaxis, yaxis, dragmode: false, boxgap: 0.3 } };
  }

  // Not Math.min(...values): thousands of arguments exceed the stack.
  const smallest = (values) => values.reduce((a, b) => Math.min(a, b));
  const largest = (values) => values.reduce((a, b) => Math.max(a, b));

  gauge.charts.add("durations", { plot, timed: false });
})();
