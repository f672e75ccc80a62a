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

  function tell(urgently = false) {
    for (const listener of listeners) listener(urgently);
  }

  // Paper is white and narrow whatever the screen is; a chart has to be drawn for it.
  function paper(is) {
    document.documentElement.classList.toggle("paper", is);
    document.documentElement.dataset.theme = is ? "light" : chosen;
    tell(true);
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
  dark.addEventListener("change", () => tell());
  window.addEventListener("beforeprint", () => paper(true));
  window.addEventListener("afterprint", () => paper(false));
  apply(recall());
  return { colour, onChange: (listener) => listeners.push(listener) };
})();
