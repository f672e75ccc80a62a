"""Starts clients by forking a process that has imported everything: ``python -m chaos.powercut.launcher``.

Each child runs ``services.client`` as ``python -m`` does, on sockets and files of its own. One JSON line in, one out:
``{"start": {…}}`` gives a pid, ``{"kill": pid}`` and ``{"stop": pid}`` give the status of the process when it is gone.
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

# Imported once, before any thread or loop exists, and inherited by all.
import services.client.app
import services.runtime.lifecycle  # noqa: F401
from chaos.powercut.journal import Recorder
from services.contract import blocklog

SEGMENT_BYTES = 100_000
"""Small, so that power is cut around the change of a segment too."""


def main() -> None:
    """Obey until standard input ends; leave no child behind."""
    blocklog.SEGMENT_BYTES = SEGMENT_BYTES
    gc.freeze()
    children: set[int] = set()
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        if "start" in order:
            pid = _start(order["start"])
            children.add(pid)
            said = {"pid": pid}
        else:
            pid = order.get("kill") or order["stop"]
            os.kill(pid, signal.SIGKILL if "kill" in order else signal.SIGTERM)
            said = {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
            children.discard(pid)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _start(how: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        _live(how)
    return pid


def _live(how: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        said = os.open(how["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, instead in ((0, nothing), (1, said), (2, said)):
            os.dup2(instead, fd)
        random.seed(how["seed"])
        os.environ.update(how["settings"])
        Recorder(Path(how["journal"]), how["seed"], how["slow_s"], how["dies_at"]).install()
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
