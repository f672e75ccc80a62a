// The event stream of the live page. A browser reconnects by itself, except after an error response. A connection on which
// nothing arrives is closed and opened again here, since a network may drop one without notice.
"use strict";

gauge.live = (() => {
  const SILENCE_MS = 8000;
  const RETRY_MS = 1000;
  let source = null;
  let lastEventAt = 0;
  let updatedAt = null;
  let isConnected = false;

  /** Connect; `show` gets the data of unnamed events, `showTool` that of events named `tool`. */
  function connect(show, showTool) {
    source?.close();
    source = new EventSource("/events");
    lastEventAt = performance.now();
    source.onopen = () => setConnected(true);
    source.onerror = () => setConnected(false);
    source.onmessage = (event) => {
      setConnected(true);
      updatedAt = performance.now();
      show(JSON.parse(event.data));
    };
    source.addEventListener("tool", (event) => { setConnected(true); showTool(JSON.parse(event.data)); });
    clearInterval(connect.timer);
    connect.timer = setInterval(() => check(show, showTool), 200);
  }

  function setConnected(isNow) {
    lastEventAt = isNow ? performance.now() : lastEventAt;
    if (isConnected !== isNow) {
      isConnected = isNow;
      gauge.byId("dot").className = isNow ? "on" : "";
      gauge.byId("connection").textContent = isNow ? "connected" : "disconnected";
    }
  }

  /** Show the age of the data, and reconnect if necessary. */
  function check(show, showTool) {
    const silentMs = performance.now() - lastEventAt;
    gauge.byId("age").textContent = updatedAt === null ? "" : `updated ${ageText((performance.now() - updatedAt) / 1000)} ago`;
    if (silentMs > SILENCE_MS || (source.readyState === EventSource.CLOSED && silentMs > RETRY_MS)) {
      setConnected(false);
      connect(show, showTool);
    }
  }

  function ageText(seconds) {
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
  }

  return { connect };
})();
