// The live feed: events as they come, and what to do when none do. The browser reconnects by itself, except where it was
// refused; a connection on which nothing is heard is given up, for a network may forget one without telling.
"use strict";

gauge.live = (() => {
  const SILENCE_MS = 8000;
  const RETRY_MS = 1000;
  let source = null;
  let heard = 0;
  let updated = null;
  let connected = false;

  function begin(show, tool) {
    source?.close();
    source = new EventSource("/events");
    heard = performance.now();
    source.onopen = () => note(true);
    source.onerror = () => note(false);
    source.onmessage = (event) => {
      note(true);
      updated = performance.now();
      show(JSON.parse(event.data));
    };
    source.addEventListener("tool", (event) => { note(true); tool(JSON.parse(event.data)); });
    clearInterval(begin.timer);
    begin.timer = setInterval(() => watch(show, tool), 200);
  }

  function note(is) {
    heard = is ? performance.now() : heard;
    if (connected !== is) {
      connected = is;
      gauge.at("dot").className = is ? "on" : "";
      gauge.at("connection").textContent = is ? "connected" : "disconnected";
    }
  }

  function watch(show, tool) {
    const silent = performance.now() - heard;
    gauge.at("age").textContent = updated === null ? "" : `updated ${ago((performance.now() - updated) / 1000)} ago`;
    if (silent > SILENCE_MS || (source.readyState === EventSource.CLOSED && silent > RETRY_MS)) {
      note(false);
      begin(show, tool);
    }
  }

  function ago(seconds) {
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
  }

  return { begin };
})();
