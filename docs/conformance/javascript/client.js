// A client: logs every run in blocks, and sends a receipt for each synced block. node client.js URL VOLUMES NAME [SIZE]
"use strict";
const { randomUUID } = require("node:crypto");
const WebSocket = require("ws");
const { BlockLog } = require("./blocklog.js");
const { nowUs, parsed } = require("./line.js");

const [url, volumes, client, size = "10"] = process.argv.slice(2);
// Processes with the same `boot` share a clock. A random one makes the clock offset measured by pings count.
const me = { client, session: 1, instance: randomUUID(), block_size: Number(size), boot: randomUUID() };
let socket, log, clock, answers, granted, heardUs, retryMs, stopping;
const send = (type, fields) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ type, ...fields }));
const receipt = (some) => granted && some.forEach((one) => send("receipt", one)); // else after the next subscription
const finish = (closed_by, reason) => (receipt(log.close(closed_by)), log.seal(reason));

const heard = {
  welcome({ v, run, state }) {
    if (v !== 1) throw new Error(`the server speaks version ${v}, this client 1`);
    [granted, retryMs, answers] = [false, null, NaN]; // this is another connection, or another run
    clock = { clock_offset_us: 0, clock_error_us: Infinity };
    if (log?.run !== run) {
      if (log) finish("end", "finished");
      if (state === "ended") return; // new clients are refused: wait for the welcome of the next run
      log = new BlockLog(volumes, run, me); // throws where an earlier process has logged: this one reads nothing back
    } else if (log.sealed && !log.receipts.size) return; // nothing is left to do
    answers = 0;
    for (let count = 0; count < 4; count += 1) send("ping", { t1_us: nowUs() }); // the first message needs an offset
  },
  pong({ t1_us: t1, t2_us: t2, t3_us: t3 }, _, t4) {
    const clock_error_us = Math.ceil((t4 - t1 - (t3 - t2)) / 2); // the quickest exchange has the smallest error
    const clock_offset_us = Math.round((t2 - t1 + t3 - t4) / 2);
    if (clock_error_us < clock.clock_error_us) clock = { clock_offset_us, clock_error_us };
    if ((answers += 1) === 4) send("subscribe", { ...me, after: log.last, run: log.run });
  },
  subscribed({ fence, receipted }) {
    log.open(fence);
    granted = true;
    // Receipts that are in the ledger need no confirmation any more; the others are sent again.
    for (const [block, { last }] of log.receipts) if (last <= receipted) log.receipts.delete(block);
    receipt([...log.receipts.values()]);
  },
  records: (header, lines, atUs) => log.sealed || receipt(log.receive(header, lines, atUs, clock)),
  recorded: ({ block }) => log.receipts.delete(block),
  ping: ({ t1_us }, _, atUs) => send("pong", { t1_us, t2_us: atUs, t3_us: nowUs() }),
  end: () => finish("end", "finished"), // and stay: another run may follow
  bye: ({ retry_ms }) => (retryMs = retry_ms),
  error: ({ code, detail }) => console.error(code, detail),
};

function connect() {
  heardUs = nowUs();
  socket = new WebSocket(url, "streamgauge.v1", { perMessageDeflate: false });
  socket.on("message", (data) => {
    heardUs = nowUs(); // before parsing
    const [header, ...lines] = data.toString("latin1").split("\n");
    const frame = parsed(header);
    if (Object.hasOwn(heard, frame.type)) heard[frame.type](frame, lines, heardUs);
  });
  socket.on("error", () => {}); // a close follows
  socket.on("close", (code) => {
    granted = false;
    if (stopping || code === 4409) process.exit(); // 4409: another process has the name; nothing more may be written
    setTimeout(connect, retryMs ?? Math.random() * 600);
  });
}

setInterval(() => {
  if (nowUs() - heardUs > 3e6) socket.terminate(); // a server answers every ping, so this one is gone
  if (log?.block.length && nowUs() - log.block[0].atUs > 5e6) receipt(log.close("time"));
  send("ping", { t1_us: nowUs() });
}, 1000);
const stop = () => {
  stopping = true;
  if (log) finish("shutdown", "shutdown");
  if (granted) send("bye", { last: log.last }); // after the log was sealed
  if (socket.readyState === WebSocket.CLOSED) process.exit();
  socket.close(1000);
};
process.on("SIGTERM", stop).on("SIGINT", stop);
connect();
