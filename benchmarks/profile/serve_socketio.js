// A peer: npm `socket.io`, emitting to everybody over WebSocket, as it comes or with connection-state recovery.
"use strict";

const { createRequire } = require("node:module");
const { modules, port, publishWhenTold } = require("./publish.js");
const { Server } = createRequire(`${modules}/`)("socket.io");

const recovery = process.argv.includes("recovery") ? { connectionStateRecovery: {} } : {};
const server = new Server(port, { transports: ["websocket"], serveClient: false, ...recovery });

publishWhenTold((message) => server.emit("message", message));
