// npm `ganache`, an Ethereum node: mines numbered blocks, once all clients have subscribed to their heads.
"use strict";

const { createRequire } = require("node:module");
const { play } = require("./feed.js");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const ganache = createRequire(`${modules}/`)("ganache");

let subscribed = 0;
const log = (message) => {
  if (!/^eth_subscribe/.test(message)) return;
  subscribed += 1;
  if (subscribed === Number(clients)) mine();
};
const server = ganache.server({
  logging: { logger: { log } }, wallet: { totalAccounts: 1 }, miner: { blockTime: 0, instamine: "eager" },
});
server.listen(Number(port), "127.0.0.1");

function mine() {
  let last = Promise.resolve();
  play(count, rate, () => {
    last = last.then(() => server.provider.request({ method: "evm_mine", params: [] }));
  });
}
