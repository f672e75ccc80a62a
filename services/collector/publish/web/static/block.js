// One block with its records, read from the block log on request.
"use strict";

gauge.block = (() => {
  const panel = gauge.byId("block");
  if (!panel) return null;
  const [title, note] = [gauge.byId("block-title"), gauge.byId("block-note")];
  const [clientInput, sessionInput, blockInput] = ["client", "session", "block"].map((name) => gauge.byId(`chosen-${name}`));
  const table = new gauge.Table(gauge.byId("messages"), "The messages of the block");
  const COLUMNS = [
    { key: "seq", label: "seq" }, { key: "received", label: "received (UTC)" }, { key: "latency", label: "latency" },
    { key: "transit", label: "from send time" }, { key: "record", label: "record", numeric: false },
  ];
  let run = null;
  let lastRequest = 0;

  async function show(client, session, block) {
    const request = ++lastRequest;
    [clientInput.value, sessionInput.value, blockInput.value] = [client, session, block];
    title.textContent = `${client}, session ${session}, block ${block}`;
    const reply = await read(new URLSearchParams({ run, client, session, block }));
    // Another block was chosen in the meantime.
    if (request !== lastRequest) return;
    panel.hidden = false;
    gauge.setText(note, reply.error ?? reply.note, reply.error ? "bad" : "");
    table.show({ columns: COLUMNS, rows: (reply.messages ?? []).map((texts) => texts.map((text) => ({ text, value: text }))) });
    panel.scrollIntoView({ block: "nearest" });
    panel.focus({ preventScroll: true });
  }

  async function read(query) {
    try {
      return await (await fetch(`/messages?${query}`)).json();
    } catch {
      return { error: "the page's server does not answer" };
    }
  }

  /** Update for a view of the run: its clients can be chosen. */
  function update(view) {
    run = view.run;
    gauge.setOptions(clientInput, view.clients.rows.map((cells) => cells[0].text));
  }

  gauge.byId("chooser").addEventListener("submit", (event) => {
    event.preventDefault();
    show(clientInput.value, sessionInput.valueAsNumber, blockInput.valueAsNumber);
  });
  gauge.byId("block-close").addEventListener("click", () => { panel.hidden = true; });
  return { show, update };
})();
