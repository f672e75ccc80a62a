// Shows a run: its view as text, its drawing as charts. The texts come made, so that the page says what every other face
// says. In a report the data stands in the page; else they come as events.
"use strict";

(() => {
  const { at, put, Table } = gauge;
  const ANSWERS = { true: ["✓ yes", "good"], false: ["✗ no", "bad"], null: ["–", "faint"] };
  const lanes = new Map();
  let highest = 0;

  const tables = {
    times: new Table(at("times"), "Quantiles of all durations"),
    delivery: new Table(at("delivery"), "What became of the records"),
    checks: new Table(at("checks"), "Checks"),
    thresholds: new Table(at("thresholds"), "Thresholds"),
    events: new Table(at("events"), "Events of the run"),
    gaps: new Table(at("gaps"), "What is missing"),
    clients: new Table(at("clients"), "Clients", {
      sortable: true,
      draws: { over_time: (cell, cells) => gauge.spark(cell, lanes.get(cells[0].text)?.worst ?? [], highest) },
      onRows: (shown, all) => put(at("matches"), shown === all ? "" : `${shown} of ${all} clients match.`),
    }),
  };

  const text = (shown, tone = "") => ({ text: String(shown), value: shown, tone });

  function answered(first, rows) {
    const columns = [{ key: "name", label: first, numeric: false }, { key: "ok", label: "answer", numeric: false }, { key: "detail", label: "detail", numeric: false }];
    return { columns, rows: rows.map((row) => [text(row.name), text(...ANSWERS[row.ok]), text(row.detail)]) };
  }

  function delivered(rows) {
    const columns = [{ key: "what", label: "records" }, { key: "many", label: "how many" }, { key: "more", label: "and", numeric: false }];
    return { columns, rows: rows.map((row) => (
      [text(row.inner ? `– ${row.label}` : row.label), text(row.texts[0]), text(row.texts.slice(1).filter(Boolean).join(" · "), "faint")])) };
  }

  /** Return a table with these columns right after the first two: what is drawn in them is seen without scrolling. */
  function led(table, keys) {
    const order = table.columns.map((column, index) => [keys.includes(column.key) ? 1.5 : index, index])
      .sort(([a], [b]) => a - b).map(([, index]) => index);
    return { columns: order.map((index) => table.columns[index]), rows: table.rows.map((row) => order.map((index) => row[index])) };
  }

  function view(made) {
    put(at("verdict"), made.verdict ?? made.state, made.tone);
    document.title = `${made.verdict ?? made.state} · ${made.run} · Streamgauge`;
    put(at("headline"), made.headline);
    put(at("run"), `run ${made.run}`);
    const reasons = made.reasons.filter((reason) => reason !== made.headline);
    if (at("reasons").childElementCount !== reasons.length || [...at("reasons").children].some((item, index) => item.textContent !== reasons[index])) {
      at("reasons").replaceChildren(...reasons.map((reason) => gauge.make("li", {}, reason)));
    }
    gauge.tiles(at("tiles"), made.tiles.filter((tile) => tile.key !== "verdict"));
    tables.times.show(made.times);
    tables.delivery.show(delivered(made.delivery));
    tables.checks.show(answered("check", made.checks));
    at("thresholds").hidden = !made.thresholds.length;
    tables.thresholds.show(answered("threshold", made.thresholds));
    tables.clients.show(led(made.clients, ["over_time", "note"]));
    gauge.control?.follow(made);
    gauge.block?.follow(made);
    // For whoever measures how long that takes.
    performance.mark("shown");
  }

  function folded(name, count, title, table) {
    at(`${name}-frame`).hidden = !count;
    put(at(`${name}-frame`).firstElementChild, title);
    tables[name].show(table);
  }

  function happened(drawing) {
    const columns = [{ key: "at", label: "when (UTC)" }, ...["kind", "client", "detail"].map((key) => ({ key, label: key, numeric: false }))];
    const rows = drawing.marks.map((mark) => [text(gauge.moment(mark.at_us)), text(mark.kind), text(mark.client ?? ""), text(mark.detail)]);
    folded("events", rows.length, `Events (${rows.length})`, { columns, rows });
  }

  function missed(drawing) {
    const columns = [{ key: "client", label: "client" }, { key: "seqs", label: "seqs" }, { key: "cause", label: "cause", numeric: false }, { key: "from", label: "after" }, { key: "to", label: "before" }];
    const rows = drawing.lanes.flatMap((lane) => lane.gaps.map((gap) => (
      [text(lane.client), text(gauge.seqs(gap.seqs), "bad"), text(gauge.cause(gap.cause)), text(gauge.moment(gap.from_us)), text(gauge.moment(gap.to_us))])));
    const left = drawing.lanes.reduce((sum, lane) => sum + lane.gaps_left, 0);
    folded("gaps", rows.length, `What is missing (${rows.length} gap${rows.length === 1 ? "" : "s"}${left ? `, and ${left} more that are not shown` : ""})`, { columns, rows });
  }

  function draw(drawing) {
    lanes.clear();
    highest = 0;
    for (const lane of drawing.lanes) {
      lanes.set(lane.client, lane);
      highest = Math.max(highest, ...lane.worst);
    }
    const strides = [...new Set(drawing.lanes.map((lane) => lane.stride))];
    const bars = strides.every((stride) => stride === 1) ? "one bar per block"
      : `one bar for every ${strides.length > 1 ? "few blocks" : `${strides[0]} blocks`}, evenly chosen`;
    put(at("lanes-note"), `One lane per client, ${bars}; what a client misses is red.`);
    happened(drawing);
    missed(drawing);
    gauge.charts.show(drawing);
  }

  function tool(cost) {
    if (at("tool")) gauge.tiles(at("tool"), cost);
  }

  function show({ view: made, drawing, tool: cost, made_at: at_time }) {
    // First, for the clients' table draws lines from it.
    if (drawing) draw(drawing);
    if (made) view(made);
    if (cost) tool(cost);
    if (at_time) put(at("made"), `made ${at_time}`);
  }

  at("filter").addEventListener("input", () => tables.clients.filter(at("filter").value));
  const data = at("data");
  if (data) show(JSON.parse(data.textContent));
  else gauge.live.begin(show, tool);
})();
