// npm `socket.io`: emits to all clients over WebSocket, with defaults or with connection-state recovery.
"use strict";

const { createRequire } = require("node:module");
const { modules, port, publishFromStartTime } = require("./publish.js");
const { Server } = createRequire(`${modules}/`)("socket.io");

const recovery = process.argv.includes("recovery") ? { connectionStateRecovery: {} } : {};
const server = new Server(port, { transports: ["websocket"], serveClient: false, ...recovery });

publishFromStartTime((message) => server.emit("message", message));
