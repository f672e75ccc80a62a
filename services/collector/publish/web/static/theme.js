// The theme: dark, light, or the system's. The choice is stored for the next visit. Charts are redrawn when it changes,
// since the style sheet does not apply to them.
"use strict";

gauge.theme = (() => {
  const CHOICES = ["auto", "light", "dark"];
  const listeners = [];
  const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");
  const probe = gauge.create("span", { hidden: true });
  let choice = "auto";

  // Local storage may be blocked, and always is for a page that was opened from a file.
  function load() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }

  function store() {
    try { localStorage.setItem("theme", choice); } catch { /* the choice then lasts until the page is closed */ }
  }

  function apply(theme) {
    choice = CHOICES.includes(theme) ? theme : "auto";
    document.documentElement.dataset.theme = choice;
    gauge.byId("theme").textContent = `Theme: ${choice}`;
    notify();
  }

  function notify(immediately = false) {
    for (const listener of listeners) listener(immediately);
  }

  // Paper is white and narrow on any screen, so charts are redrawn for it before the browser prints.
  function setPaper(isPaper) {
    document.documentElement.classList.toggle("paper", isPaper);
    document.documentElement.dataset.theme = isPaper ? "light" : choice;
    notify(true);
  }

  /** Return the current value of a colour of the style sheet, in a notation that Plotly accepts. */
  function colour(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  document.body.append(probe);
  gauge.byId("theme").addEventListener("click", () => {
    apply(CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length]);
    store();
  });
  systemIsDark.addEventListener("change", () => notify());
  window.addEventListener("beforeprint", () => setPaper(true));
  window.addEventListener("afterprint", () => setPaper(false));
  apply(load());
  return { colour, onChange: (listener) => listeners.push(listener) };
})();
