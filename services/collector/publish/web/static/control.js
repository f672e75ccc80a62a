// The operator's bar: says to the server what was chosen, and shows what it said back.
"use strict";

gauge.control = (() => {
  const form = gauge.at("control");
  if (!form) return null;
  const [rate, victim, said] = [gauge.at("rate"), gauge.at("victim"), gauge.at("said")];
  const FAILED = "the page's server does not answer";
  let over = null;
  let refused = "";
  let busy = false;

  async function ask(wish) {
    busy = true;
    able();
    say("…", "faint");
    try {
      const answer = await (await fetch("/control", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wish),
      })).json();
      say(answer.ok ? standing(answer.status) : answer.error, answer.ok ? "good" : "bad");
    } catch {
      say(FAILED, "bad");
    }
    busy = false;
    able();
  }

  function standing({ state, rate: now, clients }) {
    const pace = now === null ? "" : now === 0 ? " as fast as clients take it" : ` at ${now.toLocaleString("en")} records/s`;
    return `the server says: ${state}${pace}, ${clients.length} client${clients.length === 1 ? "" : "s"} connected`;
  }

  const say = (text, tone) => gauge.put(said, text, tone);

  function able() {
    const not = busy || Boolean(over) || Boolean(refused);
    for (const part of form.elements) if (part !== said) part.disabled = not;
  }

  /** Ask whether there is anything to control; the reason why not is shown in its place. */
  async function look() {
    try {
      const answer = await fetch("/control");
      if (answer.status === 404) return;
      const { available, why } = await answer.json();
      refused = available ? "" : why || "not available";
    } catch {
      refused = FAILED;
    }
    form.hidden = false;
    if (refused) say(refused, "faint");
    able();
  }

  /** Follow the run: once it is over nothing is left to control. */
  function follow(view) {
    gauge.offer(victim, view.clients.rows.map((cells) => cells[0].text));
    const is = ["ended", "closed"].includes(view.state);
    if (is === over) return;
    over = is;
    if (is) say("the run is over", "faint");
    else look();
    able();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ set: { rate: rate.valueAsNumber } });
  });
  for (const button of form.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => ask(button.dataset.do === "drop" ? { do: "drop", client: victim.value } : { do: button.dataset.do }));
  }
  look();
  return { follow };
})();
