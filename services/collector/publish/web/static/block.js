// One block and its records, read from the block log when somebody asks for it.
"use strict";

gauge.block = (() => {
  const panel = gauge.at("block");
  if (!panel) return null;
  const [title, note] = [gauge.at("block-title"), gauge.at("block-note")];
  const [client, session, block] = ["client", "session", "block"].map((name) => gauge.at(`chosen-${name}`));
  const table = new gauge.Table(gauge.at("messages"), "The messages of the block");
  const COLUMNS = [
    { key: "seq", label: "seq" }, { key: "received", label: "received (UTC)" }, { key: "latency", label: "latency" },
    { key: "transit", label: "from sending" }, { key: "record", label: "record", numeric: false },
  ];
  let run = null;
  let asked = 0;

  async function show(name, number, which) {
    const mine = ++asked;
    [client.value, session.value, block.value] = [name, number, which];
    title.textContent = `${name}, session ${number}, block ${which}`;
    const found = await read(new URLSearchParams({ run, client: name, session: number, block: which }));
    // Another one was chosen meanwhile.
    if (mine !== asked) return;
    panel.hidden = false;
    gauge.put(note, found.error ?? found.note, found.error ? "bad" : "");
    table.show({ columns: COLUMNS, rows: (found.messages ?? []).map((texts) => texts.map((text) => ({ text, value: text }))) });
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

  function follow(view) {
    run = view.run;
    gauge.offer(client, view.clients.rows.map((cells) => cells[0].text));
  }

  gauge.at("chooser").addEventListener("submit", (event) => {
    event.preventDefault();
    show(client.value, session.valueAsNumber, block.valueAsNumber);
  });
  gauge.at("block-close").addEventListener("click", () => { panel.hidden = true; });
  return { show, follow };
})();
