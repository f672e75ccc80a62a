// Dark, light, or as the system has it; kept for the next visit. Charts are told, for they have no style sheet.
"use strict";

gauge.theme = (() => {
  const CHOICES = ["auto", "light", "dark"];
  const listeners = [];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const probe = gauge.make("span", { hidden: true });
  let chosen = "auto";

  // A browser may forbid storage to a page, and to a file always.
  function recall() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }

  function keep() {
    try { localStorage.setItem("theme", chosen); } catch { /* then it lasts as long as the page */ }
  }

  function apply(theme) {
    chosen = CHOICES.includes(theme) ? theme : "auto";
    document.documentElement.dataset.theme = chosen;
    gauge.at("theme").textContent = `Theme: ${chosen}`;
    tell();
  }

  function tell() {
    for (const listener of listeners) listener();
  }

  /** Return a colour of the style sheet as it is now, which a chart can take. */
  function colour(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  document.body.append(probe);
  gauge.at("theme").addEventListener("click", () => {
    apply(CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length]);
    keep();
  });
  dark.addEventListener("change", tell);
  // Paper is white whatever the screen is.
  window.addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; tell(); });
  window.addEventListener("afterprint", () => apply(chosen));
  apply(recall());
  return { colour, onChange: (listener) => listeners.push(listener) };
})();
