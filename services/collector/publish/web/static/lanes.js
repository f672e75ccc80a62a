// One row per client: its blocks as bars in two alternating shades, on a pale background where the client received anything,
// and missing messages in red. There may be thousands of bars, too many for Plotly: they are painted on a canvas below the
// transparent chart, and the bar under the pointer is calculated here.
"use strict";

(() => {
  const { colour } = gauge.theme;
  const MARGIN = { l: 120, r: 46, t: 28, b: 6 };
  /** Pixels within which a bar counts as pointed at. */
  const NEAR = 4;
  const frame = gauge.byId("lanes");
  const canvas = frame.parentElement.insertBefore(gauge.create("canvas", { "aria-hidden": "true" }), frame);
  const tip = frame.parentElement.appendChild(gauge.create("div", { id: "tip", hidden: true }));
  let data = null;
  let rowHeight = 0;
  let pressed = null;

  function plot(newData) {
    const count = newData.lanes.length;
    data = newData;
    rowHeight = Math.min(26, Math.max(9, 560 / Math.max(count, 1)));
    const layout = {
      showlegend: false, hovermode: false, margin: MARGIN, xaxis: { side: "top" },
      yaxis: { range: [Math.max(count, 3) - 0.5, -0.5], showticklabels: false, ticks: "", showgrid: false },
    };
    const height = Math.round(MARGIN.t + MARGIN.b + Math.max(count, 3) * rowHeight);
    // An invisible point: without any trace Plotly draws no time axis.
    return { traces: [{ x: [gauge.charts.visibleRange()[0]], y: [0], opacity: 0, hoverinfo: "skip" }], layout, height };
  }

  /** Paint the visible range of all rows. */
  function paint() {
    if (!data) return;
    const [width, pixelRatio] = [frame.clientWidth - MARGIN.l - MARGIN.r, window.devicePixelRatio || 1];
    [canvas.width, canvas.height] = [Math.round(frame.clientWidth * pixelRatio), Math.round(frame.clientHeight * pixelRatio)];
    [canvas.style.width, canvas.style.height] = [`${frame.clientWidth}px`, `${frame.clientHeight}px`];
    const context = canvas.getContext("2d");
    context.scale(pixelRatio, pixelRatio);
    context.translate(MARGIN.l, MARGIN.t);
    paintNames(context);
    context.beginPath();
    context.rect(0, 0, width, frame.clientHeight);
    context.clip();
    const [from, to] = gauge.charts.visibleRange();
    const x = (us) => (us / 1000 - from) * width / (to - from);
    const paintBar = (startUs, endUs, row, heightFraction, leastWidth) => {
      const [left, right] = [x(startUs), x(endUs)];
      context.fillRect(left, (row + (1 - heightFraction) / 2) * rowHeight, Math.max(right - left, leastWidth), heightFraction * rowHeight);
    };
    const forEachLane = (shade, paintLane) => {
      context.fillStyle = colour(shade);
      data.lanes.forEach(paintLane);
    };
    forEachLane("cold", (lane, row) => receivedParts(lane, (start, end) => paintBar(start, end, row, 0.74, 0)));
    ["one", "two"].forEach((shade, parity) => forEachLane(shade, (lane, row) => lane.bars.forEach(([, , start, duration], index) => {
      if (index % 2 === parity) paintBar(start, start + duration / 1000, row, 0.74, 1);
    })));
    forEachLane("bad", (lane, row) => lane.gaps.forEach((gap) => {
      const range = gapRange(gap);
      if (range) paintBar(...range, row, 0.92, 4);
    }));
  }

  function paintNames(context) {
    context.font = `${Math.min(12, Math.max(8, rowHeight - 1))}px ${getComputedStyle(document.body).fontFamily}`;
    context.fillStyle = colour("faint");
    context.textAlign = "right";
    context.textBaseline = "middle";
    data.lanes.forEach((lane, row) => context.fillText(gauge.shorten(lane.client), -8, (row + 0.5) * rowHeight));
  }

  /** Return start and end of a gap, null if neither is known. A gap after the last message lasts until the end of the run. */
  function gapRange({ from_us: from, to_us: to }) {
    if (from === null) return to === null ? null : [to, to];
    return [from, to ?? Math.max(from, data.end_us ?? from)];
  }

  /** Call `callback` with start and end of each part of the run in which a client received anything. */
  function receivedParts(lane, callback) {
    const { slots, step_us: step } = data;
    const part = slots.length * step / lane.worst.length;
    lane.worst.forEach((worst, index) => {
      if (worst !== null) callback(slots[0].at_us + index * part, slots[0].at_us + (index + 1) * part);
    });
  }

  /** Return the lane, the nearest bar and a gap under the pointer, null if there is neither bar nor gap. */
  function pointedAt(event) {
    if (!data) return null;
    const box = frame.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - MARGIN.l, event.clientY - box.top - MARGIN.t];
    const width = box.width - MARGIN.l - MARGIN.r;
    const lane = data.lanes[Math.floor(y / rowHeight)];
    if (!lane || x < -NEAR || x > width + NEAR) return null;
    const [from, to] = gauge.charts.visibleRange();
    const [atUs, nearUs] = [1000 * (from + (to - from) * x / width), 1000 * NEAR * (to - from) / width];
    const distance = (startUs, endUs) => Math.max(startUs - atUs, atUs - endUs, 0);
    const gap = lane.gaps.find((candidate) => gapRange(candidate) && distance(...gapRange(candidate)) <= nearUs);
    const nearest = lane.bars.reduce((best, bar) => {
      const away = distance(bar[2], bar[2] + bar[3] / 1000);
      return away <= nearUs && (!best || away < best.away) ? { bar, away } : best;
    }, null);
    return nearest || gap ? { lane, gap, bar: nearest?.bar } : null;
  }

  function description({ lane, gap, bar }) {
    const lines = [lane.client];
    if (gap) lines.push(`missing ${gauge.seqRange(gap.seqs)}: ${gauge.causeText(gap.cause)}`);
    if (bar) lines.push(`block ${bar[1]} of session ${bar[0]}: seq ${gauge.seqRange([bar[4], bar[5]])}`, `${bar[6]} messages in ${bar[3] ? gauge.formatDuration(bar[3]) : "one read"}`);
    return lines.join("\n");
  }

  frame.addEventListener("mousemove", (event) => {
    const target = pointedAt(event);
    tip.hidden = !target;
    if (!target) return;
    gauge.setText(tip, description(target));
    const box = frame.parentElement.getBoundingClientRect();
    const left = event.clientX - box.left;
    tip.style.left = `${left > box.width / 2 ? left - tip.offsetWidth - 12 : left + 14}px`;
    tip.style.top = `${event.clientY - box.top + frame.parentElement.scrollTop + 14}px`;
  });
  frame.addEventListener("mouseleave", () => { tip.hidden = true; });
  // A click is a press and a release at one place; anything else is a drag that zooms. In between, Plotly covers the page with
  // an element of its own, so the release is listened for at the window.
  frame.addEventListener("mousedown", (event) => { pressed = event; }, true);
  window.addEventListener("mouseup", (event) => {
    const isClick = pressed && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < NEAR;
    const target = isClick && event.button === 0 ? pointedAt(event) : null;
    pressed = null;
    if (target?.bar) gauge.block?.show(target.lane.client, target.bar[0], target.bar[1]);
  }, true);

  new ResizeObserver(paint).observe(frame);
  gauge.charts.add("lanes", { plot, after: paint });
})();
