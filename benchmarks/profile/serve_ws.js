// A peer: npm `ws`, broadcasting as its documentation shows: what a client was not there for is gone.
"use strict";

const { createRequire } = require("node:module");
const { modules, port, publishWhenTold } = require("./publish.js");
const { WebSocket, WebSocketServer } = createRequire(`${modules}/`)("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port });
server.on("connection", (client) => client.on("error", () => {}));

publishWhenTold((message) => {
  const text = JSON.stringify(message);
  for (const client of server.clients) if (client.readyState === WebSocket.OPEN) client.send(text);
});
