// A server: sends one run to any number of clients. node server.js PORT VOLUMES RECORDS RATE [CLIENTS]
"use strict";
const { WebSocketServer } = require("ws");
const { Ledger } = require("./ledger.js");
const { nowUs, parsed } = require("./line.js");
const { Stream } = require("./stream.js");

const [port, volumes, ...numbers] = process.argv.slice(2);
const [total, rate, wanted = 1] = numbers.map(Number);
const ledger = new Ledger(volumes, total, rate, wanted);
const stream = new Stream(ledger, wanted);

const close = (socket, code, type, fields) => {
  stream.say(socket, type, fields); // the close code alone gives no reason
  socket.close(code);
};
const drop = (one, code, reason, retry_ms = 0) => {
  close(one.socket, code, "bye", { reason, retry_ms });
  stream.leave(one, reason);
};
const refuse = (socket, detail) => close(socket, 4400, "error", { code: "malformed", detail });
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const client = (socket) => stream.here().find((one) => one.socket === socket);

const heard = {
  subscribe(socket, { client: name, instance = "", run, session = 0, block_size = 0, after = 0, observe }) {
    if (run && run !== ledger.run) return; // it crossed the welcome of another run
    const isName = typeof name === "string" && /^[a-z0-9][a-z0-9._~-]{0,62}$/.test(name);
    const holder = stream.clients.get(name);
    const isSound = isName && typeof instance === "string" && [session, block_size, after].every(isCount);
    if (!isSound || after > total || observe || client(socket)) {
      refuse(socket, "this subscription cannot be granted");
    } else if (ledger.ended && !holder) {
      close(socket, 1013, "bye", { reason: "ended", retry_ms: 2000 });
    } else if (holder?.socket && holder.instance !== instance && nowUs() - holder.socket.heardUs < 2e6) {
      // A name belongs to one process at a time. Clients ping every second, so a silent holder loses its name.
      stream.say(socket, "error", { code: "name_taken", detail: "it is held", suggest: `${name}~${ledger.fence + 1}` });
    } else {
      if (holder?.socket) drop(holder, 4409, "superseded"); // before the new process is accepted
      const granted = Object.assign(holder ?? { name, receipts: new Map(), receipted: 0 }, { socket, told: false });
      ledger.subscribe(granted, { session, instance, block_size, after });
      stream.clients.set(name, granted);
      const { receipted, fence } = granted;
      stream.say(socket, "subscribed", { client: name, first: after + 1, receipted, fence });
    }
  },
  receipt(socket, frame) {
    const { session, block, first, last, count, missing = [] } = frame;
    const counts = [session, block, first, last, count, ...(missing?.flat?.() ?? [null])];
    const isSound = counts.every((value) => isCount(value) && value) && /^x[0-9a-f]{8}$/.test(frame.digest);
    const from = client(socket);
    if (!isSound || !from || last > Math.max(from.through, from.cursor - 1)) {
      return refuse(socket, "a receipt for what was not sent");
    }
    const match = ledger.receipt(from, frame); // write the entry before answering
    stream.movedUs = nowUs();
    return stream.say(socket, "recorded", { session, block, match });
  },
  ping: (socket, { t1_us }) => stream.say(socket, "pong", { t1_us, t2_us: socket.heardUs, t3_us: nowUs() }),
  bye: (socket) => client(socket) && stream.leave(client(socket), "bye"),
};

new WebSocketServer({ port: Number(port), perMessageDeflate: false, maxPayload: 65_536 }).on("connection", (socket) => {
  stream.say(socket, "welcome", stream.welcome());
  socket.on("message", (data) => {
    socket.heardUs = nowUs(); // before parsing
    const frame = parsed(data.toString("latin1"));
    if (Object.hasOwn(heard, frame.type)) heard[frame.type](socket, frame);
    else refuse(socket, "no frame of a client");
  });
  socket.on("error", () => {}).on("close", () => client(socket) && stream.leave(client(socket), "lost"));
});
setInterval(() => stream.turn(), 5);
setInterval(() => ledger.file.sync(), 200);
process.on("SIGTERM", () => {
  stream.pause();
  for (const one of stream.here()) drop(one, 1012, "draining", 500);
  ledger.file.sync();
  setTimeout(process.exit, 500, 0);
});
