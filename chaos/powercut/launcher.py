"""Forks clients from a process that has imported everything already: ``python -m chaos.powercut.launcher``.

Each child runs ``services.client`` as ``python -m`` does, with its own sockets and files. Commands and replies are JSON
lines: ``{"start": {…}}`` returns a pid, ``{"kill": pid}`` and ``{"stop": pid}`` return the status of the ended process.
"""

from __future__ import annotations

import gc
import json
import os
import random
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

# Imported once, before any thread or event loop exists, and inherited by all children.
import services.client.app
import services.runtime.lifecycle  # noqa: F401
from chaos.powercut.journal import Recorder
from services.contract import blocklog

SEGMENT_BYTES = 100_000
"""Small, so that some power cuts happen around a change of segment."""


def main() -> None:
    """Execute commands until standard input ends, then kill the remaining children."""
    blocklog.SEGMENT_BYTES = SEGMENT_BYTES
    gc.freeze()
    children: set[int] = set()
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        if "start" in command:
            pid = _start(command["start"])
            children.add(pid)
            reply = {"pid": pid}
        else:
            pid = command.get("kill") or command["stop"]
            os.kill(pid, signal.SIGKILL if "kill" in command else signal.SIGTERM)
            reply = {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
            children.discard(pid)
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _start(options: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        _run_client(options)
    return pid


def _run_client(options: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        reply = os.open(options["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, instead in ((0, nothing), (1, reply), (2, reply)):
            os.dup2(instead, fd)
        random.seed(options["seed"])
        os.environ.update(options["settings"])
        Recorder(Path(options["journal"]), options["seed"], options["slow_s"], options["dies_at_call"]).install()
        runpy.run_module("services.client", run_name="__main__")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
