// What all charts have in common. Charts over time share one visible range: zooming one of them zooms all. A chart is only
// drawn while it is visible, and drawing takes a limited fraction of the time.
"use strict";

gauge.charts = (() => {
  /** After drawing took t, the chart is not drawn again for this many times t. */
  const PAUSE_FACTOR = 5;
  /** Room for a time of day below a chart. */
  const LABEL_PIXELS = 90;
  const RETRY_MS = 2000;
  const DECADES = [...Array(9).keys()].map((power) => 1000 * 10 ** power);
  const charts = new Map();
  let data = null;
  let zoom = null;
  let isScriptRequested = false;

  /** Register a chart.
   *  `plot` returns {traces, layout, height?} for the chart data. `timed` says whether its horizontal axis is time.
   *  `after` is called whenever it was drawn or its visible range changed. */
  function add(id, { plot, timed = true, after = () => {} }) {
    const chart = { id, plot, timed, after, element: gauge.byId(id), isVisible: false, dueAt: 0, timer: null, isDrawn: false };
    charts.set(id, chart);
    new IntersectionObserver(([entry]) => {
      chart.isVisible = entry.isIntersecting;
      draw(chart);
    }, { rootMargin: "200px" }).observe(chart.element);
  }

  /** Load Plotly, which has 5 MB, after the texts were shown. A report contains it already. */
  function loadPlotly() {
    const path = document.querySelector("meta[name=charts]")?.content;
    if (!path || isScriptRequested) return;
    isScriptRequested = true;
    const script = gauge.create("script", { src: path });
    document.documentElement.classList.add("loading");
    script.addEventListener("load", () => { document.documentElement.classList.remove("loading"); drawAll(); });
    // Of a run that is over no further data come, which would ask for it again.
    script.addEventListener("error", () => { isScriptRequested = false; script.remove(); setTimeout(loadPlotly, RETRY_MS); });
    requestAnimationFrame(() => setTimeout(() => document.head.append(script)));
  }

  function show(newData) {
    loadPlotly();
    if (data && data.run !== newData.run) zoom = null;
    data = newData;
    showRangeText();
    drawAll();
  }

  /** Draw a chart if it is visible; if it was drawn a moment ago, draw it when its pause is over. */
  function draw(chart, immediately = false) {
    if (!data || !window.Plotly || !(immediately || (chart.isVisible && !chart.timer))) return;
    const wait = chart.dueAt - performance.now();
    if (wait > 0 && !immediately) {
      chart.timer = setTimeout(() => { chart.timer = null; draw(chart); }, wait);
      return;
    }
    const startedAt = performance.now();
    const { traces, layout, height } = chart.plot(data);
    if (height) chart.element.style.height = `${height}px`;
    Plotly.react(chart.element, traces, complete(layout, chart), { displayModeBar: false, doubleClick: false, responsive: true });
    chart.after();
    if (!chart.isDrawn) listenForZoom(chart);
    chart.isDrawn = true;
    chart.dueAt = performance.now() + PAUSE_FACTOR * (performance.now() - startedAt);
  }

  function drawAll(immediately) {
    for (const chart of charts.values()) draw(chart, immediately);
  }

  function listenForZoom(chart) {
    if (!chart.timed) return;
    chart.element.on("plotly_relayout", (change) => {
      if (change["xaxis.range[0]"] !== undefined) zoomTo([parseTime(change["xaxis.range[0]"]), parseTime(change["xaxis.range[1]"])]);
    });
    chart.element.on("plotly_doubleclick", () => zoomTo(null));
  }

  /** Return epoch milliseconds for a time as Plotly writes it: without a zone, in UTC. */
  const parseTime = (text) => (typeof text === "number" ? text : Date.parse(`${text.replace(" ", "T")}${text.includes(":") ? "Z" : ""}`));

  /** Show a range of epoch milliseconds in all charts over time, or the whole run for null. */
  function zoomTo(range) {
    zoom = range;
    showRangeText();
    for (const chart of charts.values()) {
      if (!chart.timed || !chart.isDrawn) continue;
      Plotly.relayout(chart.element, { "xaxis.range": visibleRange() });
      chart.after();
    }
  }

  function wholeRange() {
    const slots = data.slots;
    if (!slots.length) return data.start_us ? [data.start_us / 1e3, data.start_us / 1e3 + 1e3] : [0, 1e3];
    return [slots[0].at_us / 1e3, (slots.at(-1).at_us + data.step_us) / 1e3];
  }

  const visibleRange = () => zoom ?? wholeRange();

  function showRangeText() {
    const [from, to] = visibleRange();
    gauge.byId("shown").textContent = zoom ? `Time shown: ${gauge.timeOfDay(from * 1e3)} to ${gauge.timeOfDay(to * 1e3)} UTC` : "Time shown: the whole run";
  }

  /** Change the visible range by a button of the toolbar. */
  function moveRange(action) {
    if (!data) return;
    const [[from, to], [first, last]] = [visibleRange(), wholeRange()];
    const [width, middle] = [to - from, (from + to) / 2];
    if (action === "in") zoomTo([middle - width / 4, middle + width / 4]);
    if (action === "out") zoomTo(2 * width >= last - first ? null : [middle - width, middle + width]);
    if (action === "back") zoomTo([from - width / 2, to - width / 2]);
    if (action === "on") zoomTo([from + width / 2, to + width / 2]);
    if (action === "all") zoomTo(null);
  }

  /** Return a chart's layout with everything that all charts have in common. */
  function complete(layout, { timed, element }) {
    const { colour } = gauge.theme;
    const axis = { gridcolor: colour("grid"), linecolor: colour("line"), tickcolor: colour("line"), zeroline: false, fixedrange: true, automargin: false };
    const xaxis = timed
      ? { ...axis, type: "date", range: visibleRange(), fixedrange: false, tickformatstops: TIME_FORMATS, nticks: Math.max(2, Math.floor(element.clientWidth / LABEL_PIXELS)), tickangle: 0, ...layout.xaxis }
      : { ...axis, ...layout.xaxis };
    return {
      autosize: true, margin: { l: 74, r: 46, t: layout.showlegend ? 28 : 8, b: 34 }, hovermode: "x unified", dragmode: "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", bargap: 0, separators: ".,",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("faint") },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemclick: "toggle" },
      ...layout, xaxis, yaxis: { ...axis, ...layout.yaxis },
      shapes: [...(layout.shapes ?? []), ...(timed ? gauge.marks.shapes(data) : [])],
    };
  }

  const TIME_FORMATS = [
    { dtickrange: [null, 999], value: "%H:%M:%S.%L" },
    { dtickrange: [1000, 60000], value: "%H:%M:%S" },
    { dtickrange: [60000, 86400000], value: "%H:%M" },
    { dtickrange: [86400000, null], value: "%e %b" },
  ];

  /** Return a logarithmic axis of durations in nanoseconds, with a tick at every decade, and between them if few are visible. */
  function durationAxis(title, low, high) {
    const [from, to] = [Math.max(low, 100) * 0.8, Math.max(high, 1000) * 1.25];
    const steps = to / from > 300 ? [1] : to / from > 20 ? [1, 3] : [1, 2, 5];
    const ticks = DECADES.flatMap((decade) => steps.map((step) => step * decade));
    return {
      type: "log", range: [Math.log10(from), Math.log10(to)], tickvals: ticks, ticktext: ticks.map(gauge.formatDuration),
      title: { text: title, standoff: 6 },
    };
  }

  window.addEventListener("load", () => drawAll());
  gauge.theme.onChange(drawAll);
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => moveRange(button.dataset.zoom));
  }
  return { add, show, visibleRange, durationAxis };
})();
