// Shows a run: its view as texts, its chart data as charts. Texts are formatted by the collector, so that the page shows the
// same texts as every other output. A report contains its data; the live page gets it as events.
"use strict";

(() => {
  const { byId, setText, Table } = gauge;
  const RESULTS = { true: ["✓ yes", "good"], false: ["✗ no", "bad"], null: ["–", "faint"] };
  const lanes = new Map();
  let highest = 0;

  const tables = {
    times: new Table(byId("times"), "Quantiles of all durations"),
    delivery: new Table(byId("delivery"), "Delivery of the records"),
    checks: new Table(byId("checks"), "Checks"),
    thresholds: new Table(byId("thresholds"), "Thresholds"),
    events: new Table(byId("events"), "Events of the run"),
    gaps: new Table(byId("gaps"), "Missing messages"),
    connections: new Table(byId("connections"), "Connections"),
    clients: new Table(byId("clients"), "Clients", {
      sortable: true,
      renderers: { over_time: (cell, cells) => gauge.drawSparkline(cell, lanes.get(cells[0].text)?.worst ?? [], highest) },
      onRows: (visible, all) => setText(byId("matches"), visible === all ? "" : `${visible} of ${all} clients match.`),
    }),
  };

  const cell = (value, tone = "") => ({ text: String(value), value, tone });

  function checkTable(title, rows) {
    const columns = [{ key: "name", label: title, numeric: false }, { key: "ok", label: "result", numeric: false }, { key: "detail", label: "detail", numeric: false }];
    return { columns, rows: rows.map((row) => [cell(row.name), cell(...RESULTS[row.ok]), cell(row.detail)]) };
  }

  /** Show the answers; while the run goes on there are none, and only the names of the checks are shown. */
  function showChecks(name, title, rows) {
    const isDecided = rows.some((row) => row.ok !== null || row.detail);
    byId(name).hidden = !isDecided;
    setText(byId(`${name}-later`), isDecided || !rows.length ? "" : `To be decided: ${rows.map((row) => row.name).join(", ")}.`);
    tables[name].show(checkTable(title, isDecided ? rows : []));
  }

  function deliveryTable(rows) {
    const columns = [{ key: "what", label: "records" }, { key: "many", label: "count" }, { key: "more", label: "details", numeric: false }];
    return { columns, rows: rows.map((row) => (
      [cell(row.inner ? `– ${row.label}` : row.label), cell(row.texts[0]), cell(row.texts.slice(1).filter(Boolean).join(" · "), "faint")])) };
  }

  /** Return a table with these columns moved behind the first two, where they are visible without scrolling. */
  function withColumnsFirst(table, keys) {
    const order = table.columns.map((column, index) => [keys.includes(column.key) ? 1.5 : index, index])
      .sort(([a], [b]) => a - b).map(([, index]) => index);
    return { columns: order.map((index) => table.columns[index]), rows: table.rows.map((row) => order.map((index) => row[index])) };
  }

  function showReasons(reasons) {
    const list = byId("reasons");
    if (list.childElementCount !== reasons.length || [...list.children].some((item, index) => item.textContent !== reasons[index])) {
      list.replaceChildren(...reasons.map((reason) => gauge.create("li", {}, reason)));
    }
  }

  function showView(view) {
    setText(byId("verdict"), view.verdict ?? view.state, view.tone);
    document.title = `${view.verdict ?? view.state} · ${view.run} · Streamgauge`;
    setText(byId("headline"), view.headline);
    setText(byId("run"), `run ${view.run}`);
    showReasons(view.reasons.filter((reason) => reason !== view.headline));
    gauge.showTiles(byId("tiles"), view.tiles.filter((tile) => tile.key !== "verdict"));
    tables.times.show(view.times);
    tables.delivery.show(deliveryTable(view.delivery));
    showChecks("checks", "check", view.checks);
    showChecks("thresholds", "threshold", view.thresholds);
    tables.clients.show(withColumnsFirst(view.clients, ["over_time", "note"]));
    // Only of an external feed.
    if (view.connections) showDetails("connections", view.connections.rows.length, "Connections", view.connections);
    gauge.control?.update(view);
    gauge.block?.update(view);
    // Tests measure how long it takes until the texts are shown.
    performance.mark("shown");
  }

  /** Show a table in a `details` element, hidden if it has no rows. */
  function showDetails(name, count, title, table) {
    byId(`${name}-frame`).hidden = !count;
    setText(byId(`${name}-frame`).firstElementChild, title);
    tables[name].show(table);
  }

  function showEvents(data) {
    const columns = [{ key: "at", label: "time (UTC)" }, ...["kind", "client", "detail"].map((key) => ({ key, label: key, numeric: false }))];
    const rows = data.marks.map((mark) => [cell(gauge.timeOfDay(mark.at_us)), cell(mark.kind), cell(mark.client ?? ""), cell(mark.detail)]);
    showDetails("events", rows.length, `Events (${rows.length})`, { columns, rows });
  }

  function showGaps(data) {
    const columns = [{ key: "client", label: "client" }, { key: "seqs", label: "seqs" }, { key: "cause", label: "cause", numeric: false }, { key: "from", label: "after" }, { key: "to", label: "before" }];
    const rows = data.lanes.flatMap((lane) => lane.gaps.map((gap) => (
      [cell(lane.client), cell(gauge.seqRange(gap.seqs), "bad"), cell(gauge.causeText(gap.cause)), cell(gauge.timeOfDay(gap.from_us)), cell(gauge.timeOfDay(gap.to_us))])));
    const omitted = data.lanes.reduce((sum, lane) => sum + lane.gaps_left, 0);
    showDetails("gaps", rows.length, `Missing messages (${rows.length} gap${rows.length === 1 ? "" : "s"}${omitted ? `, and ${omitted} more that are not shown` : ""})`, { columns, rows });
  }

  function showCharts(data) {
    lanes.clear();
    highest = 0;
    for (const lane of data.lanes) {
      lanes.set(lane.client, lane);
      highest = Math.max(highest, ...lane.worst);
    }
    const strides = [...new Set(data.lanes.map((lane) => lane.stride))];
    const bars = strides.every((stride) => stride === 1) ? "one bar per block"
      : `one bar for every ${strides.length > 1 ? "few blocks" : `${strides[0]} blocks`}, evenly chosen`;
    setText(byId("lanes-note"), `One row per client, ${bars}; missing messages are red.`);
    showEvents(data);
    showGaps(data);
    gauge.charts.show(data);
  }

  function showTool(tiles) {
    if (byId("tool")) gauge.showTiles(byId("tool"), tiles);
  }

  function show({ view, charts, tool, made_at: madeAt }) {
    // Charts first: the sparklines of the clients table are drawn from their data.
    if (charts) showCharts(charts);
    if (view) showView(view);
    if (tool) showTool(tool);
    if (madeAt) setText(byId("made"), `made ${madeAt}`);
  }

  byId("filter").addEventListener("input", () => tables.clients.filter(byId("filter").value));
  const embedded = byId("data");
  if (embedded) show(JSON.parse(embedded.textContent));
  else gauge.live.connect(show, showTool);
})();
