// npm `ws`: broadcasts as documented, so a client does not get messages that were sent while it was away.
"use strict";

const { createRequire } = require("node:module");
const { modules, port, publishFromStartTime } = require("./publish.js");
const { WebSocket, WebSocketServer } = createRequire(`${modules}/`)("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port });
server.on("connection", (client) => client.on("error", () => {}));

publishFromStartTime((message) => {
  const text = JSON.stringify(message);
  for (const client of server.clients) if (client.readyState === WebSocket.OPEN) client.send(text);
});
