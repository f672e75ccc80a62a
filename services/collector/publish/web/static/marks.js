// Events of the run as vertical lines through all charts over time.
"use strict";

gauge.marks = (() => {
  const COLOURS = { drop: "bad", reconnect: "bad", leave: "high", pause: "doubt", resume: "good", rate: "accent", end: "faint", start: "faint", join: "faint" };
  const MAX_JOINS = 20;

  /** Return the events as Plotly shapes; with very many clients without the lines for their joining. */
  function shapes(data) {
    const joins = data.marks.filter((mark) => mark.kind === "join").length;
    return data.marks.filter((mark) => mark.kind !== "join" || joins <= MAX_JOINS).map((mark) => ({
      type: "line", xref: "x", yref: "paper", x0: mark.at_us / 1000, x1: mark.at_us / 1000, y0: 0, y1: 1, layer: "above",
      line: { color: gauge.theme.colour(COLOURS[mark.kind] ?? "faint"), width: 1, dash: mark.kind === "start" || mark.kind === "end" ? "solid" : "dot" },
    }));
  }

  return { shapes };
})();
