// What all charts have in common, and those over time that are made of slots. All of them show the same stretch of time:
// zooming in one zooms all. A chart is drawn when it is in sight, and drawing takes a small part of the time at most.
"use strict";

gauge.charts = (() => {
  const SHARE = 5;
  const DECADES = [...Array(9).keys()].map((power) => 1000 * 10 ** power);
  const charts = new Map();
  let drawing = null;
  let zoom = null;
  let fetched = false;

  /** Make a chart known: `plot` returns traces, layout and perhaps height, `timed` says that it goes over
   * time, `after` is called when it was drawn or shows another stretch of time. */
  function add(id, { plot, timed = true, after = () => {} }) {
    const chart = { id, plot, timed, after, element: gauge.at(id), inSight: false, due: 0, timer: null, drawn: false };
    charts.set(id, chart);
    new IntersectionObserver(([entry]) => {
      chart.inSight = entry.isIntersecting;
      draw(chart);
    }, { rootMargin: "200px" }).observe(chart.element);
  }

  /** Fetch the charts' script, which is great, once the texts stand; in a report it is there by itself. */
  function fetchScript() {
    const path = document.querySelector("meta[name=charts]")?.content;
    if (!path || fetched) return;
    fetched = true;
    const script = gauge.make("script", { src: path });
    script.addEventListener("load", () => again());
    script.addEventListener("error", () => { fetched = false; script.remove(); });
    requestAnimationFrame(() => setTimeout(() => document.head.append(script)));
  }

  function show(made) {
    fetchScript();
    if (drawing && drawing.run !== made.run) zoom = null;
    drawing = made;
    say();
    for (const chart of charts.values()) draw(chart);
  }

  /** Draw a chart, unless it is out of sight, or had its share of the time: then it is drawn when that is over. */
  function draw(chart, urgently = false) {
    if (!drawing || !window.Plotly || !(urgently || (chart.inSight && !chart.timer))) return;
    const wait = chart.due - performance.now();
    if (wait > 0 && !urgently) {
      chart.timer = setTimeout(() => { chart.timer = null; draw(chart); }, wait);
      return;
    }
    const began = performance.now();
    const { traces, layout, height } = chart.plot(drawing);
    if (height) chart.element.style.height = `${height}px`;
    Plotly.react(chart.element, traces, finish(layout, chart.timed), { displayModeBar: false, doubleClick: false, responsive: true });
    chart.after();
    if (!chart.drawn) listen(chart);
    chart.drawn = true;
    chart.due = performance.now() + SHARE * (performance.now() - began);
  }

  function listen(chart) {
    if (!chart.timed) return;
    chart.element.on("plotly_relayout", (change) => {
      if (change["xaxis.range[0]"] !== undefined) look([time(change["xaxis.range[0]"]), time(change["xaxis.range[1]"])]);
    });
    chart.element.on("plotly_doubleclick", () => look(null));
  }

  // Plotly writes times without a zone and means UTC.
  const time = (text) => (typeof text === "number" ? text : Date.parse(`${text.replace(" ", "T")}${text.includes(":") ? "Z" : ""}`));

  function look(range) {
    zoom = range;
    say();
    for (const chart of charts.values()) {
      if (!chart.timed || !chart.drawn) continue;
      Plotly.relayout(chart.element, { "xaxis.range": shown() });
      chart.after();
    }
  }

  function all() {
    const slots = drawing.slots;
    if (!slots.length) return drawing.start_us ? [drawing.start_us / 1e3, drawing.start_us / 1e3 + 1e3] : [0, 1e3];
    return [slots[0].at_us / 1e3, (slots.at(-1).at_us + drawing.step_us) / 1e3];
  }

  const shown = () => zoom ?? all();

  function say() {
    const [from, to] = shown();
    gauge.at("shown").textContent = zoom ? `Time shown: ${gauge.moment(from * 1e3)} to ${gauge.moment(to * 1e3)} UTC` : "Time shown: all of the run";
  }

  function step(way) {
    if (!drawing) return;
    const [[from, to], [first, last]] = [shown(), all()];
    const [width, middle] = [to - from, (from + to) / 2];
    if (way === "in") look([middle - width / 4, middle + width / 4]);
    if (way === "out") look(2 * width >= last - first ? null : [middle - width, middle + width]);
    if (way === "back") look([from - width / 2, to - width / 2]);
    if (way === "on") look([from + width / 2, to + width / 2]);
    if (way === "all") look(null);
  }

  function finish(layout, timed) {
    const { colour } = gauge.theme;
    const axis = { gridcolor: colour("grid"), linecolor: colour("line"), tickcolor: colour("line"), zeroline: false, fixedrange: true, automargin: false };
    const xaxis = timed
      ? { ...axis, type: "date", range: shown(), fixedrange: false, tickformatstops: STOPS, nticks: 7, ...layout.xaxis }
      : { ...axis, ...layout.xaxis };
    return {
      autosize: true, margin: { l: 74, r: 46, t: layout.showlegend ? 28 : 8, b: 34 }, hovermode: "x unified", dragmode: "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", bargap: 0, separators: ".,",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("faint") },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemclick: "toggle" },
      ...layout, xaxis, yaxis: { ...axis, ...layout.yaxis },
      shapes: [...(layout.shapes ?? []), ...(timed ? gauge.marks.shapes(drawing) : [])],
    };
  }

  const STOPS = [
    { dtickrange: [null, 1000], value: "%H:%M:%S.%L" },
    { dtickrange: [1000, 60000], value: "%H:%M:%S" },
    { dtickrange: [60000, 86400000], value: "%H:%M" },
    { dtickrange: [86400000, null], value: "%e %b" },
  ];

  /** Return an axis of durations from nanoseconds to hours, with a label at every decade and, where few, between. */
  function durations(title, low, high) {
    const [from, to] = [Math.max(low, 100) * 0.8, Math.max(high, 1000) * 1.25];
    const steps = to / from > 300 ? [1] : to / from > 20 ? [1, 3] : [1, 2, 5];
    const ticks = DECADES.flatMap((decade) => steps.map((one) => one * decade));
    return {
      type: "log", range: [Math.log10(from), Math.log10(to)], tickvals: ticks, ticktext: ticks.map(gauge.duration),
      title: { text: title, standoff: 6 },
    };
  }

  function again(urgently) {
    for (const chart of charts.values()) draw(chart, urgently);
  }

  window.addEventListener("load", () => again());
  gauge.theme.onChange(again);
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => step(button.dataset.zoom));
  }
  return { add, show, shown, durations };
})();
