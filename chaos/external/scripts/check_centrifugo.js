// npm `centrifuge`, the vendor's client: prints the numbers of the records it got, one a line, until stopped.
"use strict";

const { createRequire } = require("node:module");

const [modules, url] = process.argv.slice(2);
const { Centrifuge } = createRequire(`${modules}/`)("centrifuge");
const { WebSocket } = createRequire(`${modules}/`)("ws");

const client = new Centrifuge(url, { websocket: WebSocket });
const subscription = client.newSubscription("news");
subscription.on("publication", (message) => console.log(message.data.seq));
subscription.subscribe();
client.connect();
