"""``python -m chaos.security.tls_cost``: the server's processor time per delivered record, without TLS and with it.

Both are measured in turn, five times; printed are medians and the whole range. Processor time depends on other load
much less than speed does.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from services.server.secrets_folder import make_certificate
from tests.integration.processes import System

ROUNDS = 5


class Load(NamedTuple):
    """A load: rate in records/s (0 for full speed), number of records, and of connections."""

    name: str
    rate: int
    records: int
    connections: int


LOADS = (Load("200 records/s, 20 connections", 200, 1_000, 20), Load("full speed, 2 connections", 0, 100_000, 2))


def cost_us(folder: Path, load: Load, *, has_tls: bool) -> float:
    """Play a run; return the server's processor time per delivered record, in microseconds."""
    settings: dict[str, object] = {"RATE": load.rate, "RECORDS": load.records, "CLIENTS": load.connections}
    if has_tls:
        make_certificate(folder, ["localhost"])
        settings |= {"TLS_CERT_FILE": folder / "tls.crt", "TLS_KEY_FILE": folder / "tls.key"}
    with System(folder, **settings) as system:
        server = system.server()
        began = _processor_seconds(server.pid)
        url = f"wss://localhost:{system.port}" if has_tls else system.url
        trust = {"TLS_CA_FILE": folder / "tls.crt"} if has_tls else {}
        client = system.start("client", CLIENT_ID="c", CONNECTIONS=load.connections, SERVER_URL=url, **trust)
        server.wait_for_line('"run ended"', 120)
        took = _processor_seconds(server.pid) - began
        client.stop()
    return took * 1e6 / (load.records * load.connections)


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process, user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print a row for each load."""
    print("| load | without TLS, µs a record | with TLS, µs a record | ratio |\n|---|--:|--:|--:|")
    for load in LOADS:
        found: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for has_tls, values in found.items():
                with tempfile.TemporaryDirectory() as folder:
                    values.append(cost_us(Path(folder), load, has_tls=has_tls))
        plain, secure = map(statistics.median, found.values())
        cells = [f"{statistics.median(each):.1f} ({min(each):.1f} … {max(each):.1f})" for each in found.values()]
        print(f"| {load.name} | {' | '.join(cells)} | {secure / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
