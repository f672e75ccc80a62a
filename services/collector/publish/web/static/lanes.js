// One lane per client: its blocks as bars in turn of two shades, on a pale ground where it received anything, and in red
// what it misses. There may be thousands of bars, which would make the chart slow as parts of it: they are painted on a
// canvas of their own below it, and which one lies under the pointer is reckoned here.
"use strict";

(() => {
  const { colour } = gauge.theme;
  const MARGIN = { l: 120, r: 46, t: 28, b: 6 };
  const NEAR = 4;
  const frame = gauge.at("lanes");
  const canvas = frame.parentElement.insertBefore(gauge.make("canvas", { "aria-hidden": "true" }), frame);
  const tip = frame.parentElement.appendChild(gauge.make("div", { id: "tip", hidden: true }));
  let drawn = null;
  let pressed = null;

  function plot(drawing) {
    const count = drawing.lanes.length;
    const row = Math.min(26, Math.max(9, 560 / Math.max(count, 1)));
    drawn = { drawing, row };
    const layout = {
      showlegend: false, hovermode: false, margin: MARGIN, xaxis: { side: "top" },
      yaxis: { range: [Math.max(count, 3) - 0.5, -0.5], showticklabels: false, ticks: "", showgrid: false },
    };
    const height = Math.round(MARGIN.t + MARGIN.b + Math.max(count, 3) * row);
    // A point that nobody sees: without one there is no axis of time.
    return { traces: [{ x: [gauge.charts.shown()[0]], y: [0], opacity: 0, hoverinfo: "skip" }], layout, height };
  }

  /** Paint the lanes below the chart, which is transparent, in the stretch of time that it shows. */
  function paint() {
    if (!drawn) return;
    const [width, dense] = [frame.clientWidth - MARGIN.l - MARGIN.r, window.devicePixelRatio || 1];
    [canvas.width, canvas.height] = [Math.round(frame.clientWidth * dense), Math.round(frame.clientHeight * dense)];
    [canvas.style.width, canvas.style.height] = [`${frame.clientWidth}px`, `${frame.clientHeight}px`];
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    pen.translate(MARGIN.l, MARGIN.t);
    names(pen);
    pen.beginPath();
    pen.rect(0, 0, width, frame.clientHeight);
    pen.clip();
    const [from, to] = gauge.charts.shown();
    const x = (us) => (us / 1000 - from) * width / (to - from);
    const bar = (begin, end, at, share, least) => {
      const [left, right] = [x(begin), x(end)];
      pen.fillRect(left, (at + (1 - share) / 2) * drawn.row, Math.max(right - left, least), share * drawn.row);
    };
    const every = (shade, each) => {
      pen.fillStyle = colour(shade);
      drawn.drawing.lanes.forEach(each);
    };
    every("cold", (lane, at) => ground(lane, (begin, end) => bar(begin, end, at, 0.74, 0)));
    ["one", "two"].forEach((shade, turn) => every(shade, (lane, at) => lane.bars.forEach(([, , start, duration], index) => {
      if (index % 2 === turn) bar(start, start + duration / 1000, at, 0.74, 1);
    })));
    every("bad", (lane, at) => lane.gaps.forEach((gap) => {
      const ends = lasted(gap);
      if (ends) bar(...ends, at, 0.92, 4);
    }));
  }

  function names(pen) {
    pen.font = `${Math.min(12, Math.max(8, drawn.row - 1))}px ${getComputedStyle(document.body).fontFamily}`;
    pen.fillStyle = colour("faint");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    drawn.drawing.lanes.forEach((lane, at) => pen.fillText(gauge.short(lane.client), -8, (at + 0.5) * drawn.row));
  }

  /** Return when a gap began and ended, null where nobody knows: what nothing came after lasts to the end of the run. */
  function lasted({ from_us: from, to_us: to }) {
    if (from === null) return to === null ? null : [to, to];
    return [from, to ?? Math.max(from, drawn.drawing.end_us ?? from)];
  }

  /** Tell where a client received anything: what it is silent in stays empty. */
  function ground(lane, each) {
    const { slots, step_us: step } = drawn.drawing;
    const part = slots.length * step / lane.worst.length;
    lane.worst.forEach((worst, index) => {
      if (worst !== null) each(slots[0].at_us + index * part, slots[0].at_us + (index + 1) * part);
    });
  }

  /** Return what lies under the pointer: a lane with the nearest of its bars and of its gaps, null where none is near. */
  function under(event) {
    if (!drawn) return null;
    const box = frame.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - MARGIN.l, event.clientY - box.top - MARGIN.t];
    const width = box.width - MARGIN.l - MARGIN.r;
    const lane = drawn.drawing.lanes[Math.floor(y / drawn.row)];
    if (!lane || x < -NEAR || x > width + NEAR) return null;
    const [from, to] = gauge.charts.shown();
    const [at, near] = [1000 * (from + (to - from) * x / width), 1000 * NEAR * (to - from) / width];
    const away = (begin, end) => Math.max(begin - at, at - end, 0);
    const gap = lane.gaps.find((one) => lasted(one) && away(...lasted(one)) <= near);
    const bar = lane.bars.reduce((best, one) => {
      const far = away(one[2], one[2] + one[3] / 1000);
      return far <= near && (!best || far < best.far) ? { one, far } : best;
    }, null);
    return bar || gap ? { lane, gap, bar: bar?.one } : null;
  }

  function say({ lane, gap, bar }) {
    const lines = [lane.client];
    if (gap) lines.push(`misses ${gauge.seqs(gap.seqs)}: ${gauge.cause(gap.cause)}`);
    if (bar) lines.push(`block ${bar[1]} of session ${bar[0]}: seq ${gauge.seqs([bar[4], bar[5]])}`, `${bar[6]} messages in ${gauge.duration(bar[3])}`);
    return lines.join("\n");
  }

  frame.addEventListener("mousemove", (event) => {
    const found = under(event);
    tip.hidden = !found;
    if (!found) return;
    gauge.put(tip, say(found));
    const box = frame.parentElement.getBoundingClientRect();
    const left = event.clientX - box.left;
    tip.style.left = `${left > box.width / 2 ? left - tip.offsetWidth - 12 : left + 14}px`;
    tip.style.top = `${event.clientY - box.top + frame.parentElement.scrollTop + 14}px`;
  });
  frame.addEventListener("mouseleave", () => { tip.hidden = true; });
  // A click, and not the drag that zooms: the press and its end are at one place. The chart covers the page meanwhile.
  frame.addEventListener("mousedown", (event) => { pressed = event; }, true);
  window.addEventListener("mouseup", (event) => {
    const still = pressed && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < NEAR;
    const found = still && event.button === 0 ? under(event) : null;
    pressed = null;
    if (found?.bar) gauge.block?.show(found.lane.client, found.bar[0], found.bar[1]);
  }, true);

  new ResizeObserver(paint).observe(frame);
  gauge.charts.add("lanes", { plot, after: paint });
})();
