// The feed of the Node.js servers: numbered records at a fixed rate.
"use strict";

exports.play = function play(count, rate, send) {
  const began = Date.now();
  let seq = 0;
  const timer = setInterval(() => {
    while (seq < Number(count) && seq < ((Date.now() - began) * Number(rate)) / 1000) {
      seq += 1;
      send({ seq, ts: Date.now(), text: `record ${seq}` });
    }
    if (seq >= Number(count)) clearInterval(timer);
  }, 5);
};
