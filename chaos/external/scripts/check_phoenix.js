// npm `phoenix`, the vendor's client: prints the numbers of the records it got, one a line, until stopped.
"use strict";

const { createRequire } = require("node:module");

const [modules, url] = process.argv.slice(2);
const { Socket } = createRequire(`${modules}/`)("phoenix");
const { WebSocket } = createRequire(`${modules}/`)("ws");

// The client appends /websocket?vsn=2.0.0 itself.
const socket = new Socket(url.replace(/\/websocket.*/, ""), { transport: WebSocket, heartbeatIntervalMs: 500 });
socket.connect();
const channel = socket.channel("room:lobby", {});
channel.on("tick", (tick) => console.log(tick.seq));
channel.join();
