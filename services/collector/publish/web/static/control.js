// The operator's controls: send a request to the server and show its reply.
"use strict";

gauge.control = (() => {
  const form = gauge.byId("control");
  if (!form) return null;
  const [rate, client, reply] = [gauge.byId("rate"), gauge.byId("drop-client"), gauge.byId("reply")];
  const NO_REPLY = "the page's server does not answer";
  /** Whether the run is over; null until it is known. */
  let isOver = null;
  /** The reason why control is not available, empty if it is. */
  let unavailable = "";
  let isBusy = false;

  async function send(request) {
    isBusy = true;
    enable();
    show("…", "faint");
    try {
      const result = await (await fetch("/control", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request),
      })).json();
      show(result.ok ? statusText(result.status) : result.error, result.ok ? "good" : "bad");
    } catch {
      show(NO_REPLY, "bad");
    }
    isBusy = false;
    enable();
  }

  function statusText({ state, rate: current, clients }) {
    const at = current === null ? "" : current === 0 ? " as fast as the clients receive" : ` at ${current.toLocaleString("en")} records/s`;
    return `the server replied: ${state}${at}, ${clients.length} client${clients.length === 1 ? "" : "s"} connected`;
  }

  const show = (text, tone) => gauge.setText(reply, text, tone);

  function enable() {
    const isDisabled = isBusy || Boolean(isOver) || Boolean(unavailable);
    for (const element of form.elements) if (element !== reply) element.disabled = isDisabled;
  }

  /** Ask whether control is available, and show the reason if it is not. */
  async function checkAvailability() {
    try {
      const response = await fetch("/control");
      if (response.status === 404) return;
      const { available, why } = await response.json();
      unavailable = available ? "" : why || "not available";
    } catch {
      unavailable = NO_REPLY;
    }
    form.hidden = false;
    if (unavailable) show(unavailable, "faint");
    enable();
  }

  /** Update for a view of the run: a run that is over cannot be controlled. */
  function update(view) {
    gauge.setOptions(client, view.clients.rows.map((cells) => cells[0].text));
    const isOverNow = ["ended", "closed"].includes(view.state);
    if (isOverNow === isOver) return;
    isOver = isOverNow;
    if (isOver) show("the run is over", "faint");
    else checkAvailability();
    enable();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send({ set: { rate: rate.valueAsNumber } });
  });
  for (const button of form.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => send(button.dataset.do === "drop" ? { do: "drop", client: client.value } : { do: button.dataset.do }));
  }
  checkAvailability();
  return { update };
})();
