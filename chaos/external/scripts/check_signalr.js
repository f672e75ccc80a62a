// npm `@microsoft/signalr`, the vendor's client: prints the numbers of the records it got, one a line, until stopped.
"use strict";

const { createRequire } = require("node:module");

const [modules, url] = process.argv.slice(2);
const signalR = createRequire(`${modules}/`)("@microsoft/signalr");

const connection = new signalR.HubConnectionBuilder()
  .withUrl(url.replace("ws://", "http://"), { skipNegotiation: true, transport: signalR.HttpTransportType.WebSockets })
  .configureLogging(signalR.LogLevel.None)
  .build();
connection.on("Tick", (tick) => console.log(tick.seq));
connection.start();
