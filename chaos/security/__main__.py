"""``make security``: tries everything that a peer, a file or a server may do, and prints threat, control and result.

``LONG=1`` floods for 60 s instead of 10 s, and the default containers too. With ``--part`` it takes less than a minute:
no floods, and a sample of the files. The exit code is 0 if every answer was right, no service had a traceback or ended,
the server's memory grew by less than 5 MB, and the honest clients' run passed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaos.security import (
    container_floods,
    field_cases,
    flood,
    hostile_server,
    ledger_cases,
    node_cases,
    page_cases,
    slow_cases,
    start_cases,
    volume_cases,
    wire_cases,
)
from chaos.security.case import Case, CaseResult, run
from chaos.security.honest import HonestRun, resident_bytes
from chaos.security.threats import THREATS
from tests.integration.processes import Process, System, free_port
from tools.supply_chain import pins

MOST_GROWTH_BYTES = 5 * 2**20
MOST_BYTES_OF_A_CONNECTION = 20 * 1024
_MOST_GROWTH_OF_PAGE = 100 * 2**20
"""The report, which is made once, and four peers that are sent it."""
_PROXY_VARIABLES = "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "ws_proxy"
_PEERS_AT_ONCE, _CLIENTS_AT_ONCE = 16, 6
_EVERY_FILE, _EVERY_FILE_IN_PART = 3, 30


class Report:
    """Collects the results, and prints those that are wrong at once."""

    def __init__(self) -> None:
        self.results: list[CaseResult] = []

    def add(self, results: Iterable[CaseResult]) -> None:
        """Add results."""
        for result in results:
            self.results.append(result)
            if not result.is_right:
                name = result.name.encode("unicode_escape").decode("ascii")
                print(f"WRONG {result.threat} {name}: expected {result.expected}, got {result.answer}", flush=True)

    def check(self, name: str, expected: str, answer: str) -> None:
        """Add the result of a check of everything."""
        self.add([CaseResult("all", name, expected, answer)])

    def table(self) -> str:
        """Return a row for each threat, with its control, its test, and the number of cases and of right answers."""
        cases, right = (
            Counter(result.threat for result in self.results if result.is_right or not only)
            for only in (False, True)
        )  # fmt: skip
        rows = [
            f"| {threat.number} | {threat.what} | {threat.control} | {threat.tests} "
            f"| {cases[threat.number] or '-'} | {right[threat.number] or '-'} |"
            for threat in THREATS
        ]
        total = f"| all | | | | {cases.total()} | {right.total()} |"
        return "\n".join(["| | threat | control | test | cases | right |", "|---|---|---|---|--:|--:|", *rows, total])


def _try_all(cases: Iterable[Case], port: int, at_once: int = 1) -> Iterator[CaseResult]:
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda case: run(case, port), cases)


def _check_alive(report: Report, service: Process, name: str) -> None:
    report.check(f"{name}: traceback", "none", "one" if "Traceback" in service.text else "none")
    report.check(f"{name}: lives", "yes", "yes" if service.code is None else f"ended with {service.code}")


def try_the_wire(report: Report, folder: Path, flood_seconds: float) -> None:
    """Try what needs no name, beside three honest clients, whose run has to pass."""
    with System(folder) as system:
        honest = HonestRun(system)
        began, before = time.time(), honest.resident_bytes
        for module in (wire_cases, field_cases):
            report.add(_try_all(module.cases(), system.port))
        took_s, grown = time.time() - began, (honest.resident_bytes - before) / 1e6
        window = honest.window(began, time.time())
        print(f"wire: {len(report.results)} cases in {took_s:.0f} s; {window}; server {grown:+.1f} MB")
        if flood_seconds:
            _flood_all(honest, flood_seconds)
        growth = honest.resident_bytes - before
        report.check("growth of the server", "below 5 MB", _below(growth, MOST_GROWTH_BYTES, "5 MB"))
        _crowd(report, honest)
        _check_alive(report, honest.server, "server")
        code, text = honest.finish()
        report.check("verdict of the honest clients", "0", str(code) if code == 0 else text)


def _below(value: float, limit: float, text: str) -> str:
    return f"below {text}" if value < limit else f"{value:,.0f}"


def _flood_all(honest: HonestRun, seconds: float) -> None:
    """Print the honest clients' p99 under each flood, beside that of a quiet period of the same length.

    Also by how much the server grew meanwhile, so that a wrong growth names the flood that it is from.
    """
    began = time.time()
    time.sleep(seconds)
    quiet_ms = _p99_ms(honest, began)
    for kind in flood.FLOODS:
        command = [
            sys.executable,
            "-m",
            "chaos.security.flood",
            "127.0.0.1",
            str(honest.system.port),
            kind,
            str(seconds),
        ]
        began, before = time.time(), honest.resident_bytes
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        p99_ms, grown = _p99_ms(honest, began), (honest.resident_bytes - before) / 1e6
        delay = f"honest p99 {p99_ms:.1f} ms, {p99_ms - quiet_ms:+.1f}"
        print(f"flood of {kind}, {seconds:g} s: {delay}; server {grown:+.1f} MB", flush=True)


def _p99_ms(honest: HonestRun, began: float) -> float:
    """Return the median of the p99 of the three thirds of a period until now."""
    third = (time.time() - began) / 3
    # A block is closed by its count, half a second at most after its last record was due.
    time.sleep(1)
    windows = [honest.window(began + part * third, began + (part + 1) * third) for part in range(3)]
    return statistics.median(window.p99_ms for window in windows)


def _crowd(report: Report, honest: HonestRun) -> None:
    before = honest.resident_bytes
    (case,) = slow_cases.crowd_cases()
    report.add(_try_all([case], honest.system.port))
    each = (honest.resident_bytes - before) / slow_cases.PEERS
    report.check("memory of a connection", "below 20 KiB", _below(each, MOST_BYTES_OF_A_CONNECTION, "20 KiB"))


def try_the_ledger(report: Report, folder: Path) -> None:
    """Try what leaves names in the ledger, and peers that wait; a client is admitted and served afterwards."""
    settings = {"RECORDS": ledger_cases.TOTAL, "RATE": 0, "CLIENTS": 1, "GRACE_SECONDS": 3600, "SEND_SECONDS": 2}
    with System(folder, **settings) as system:
        server = system.server()
        report.add(_try_all(ledger_cases.cases(), system.port))
        report.add(_try_all(slow_cases.cases(), system.port, _PEERS_AT_ONCE))
        client = system.client("client-1", **dict.fromkeys(_PROXY_VARIABLES, "http://127.0.0.1:1"))
        client.wait_for_line('"subscribed"', hostile_server.START_SECONDS)
        report.add([CaseResult("T19", "a client with proxy variables", "subscribed", "subscribed")])
        _check_alive(report, server, "server with a ledger")


def try_the_client(report: Report, folder: Path) -> None:
    """Let real clients connect to servers that break the protocol."""

    def attempt(number: int) -> CaseResult:
        (own := folder / str(number)).mkdir(parents=True)
        return hostile_server.attempt(*hostile_server.TALKS[number], own)

    with ThreadPoolExecutor(_CLIENTS_AT_ONCE) as pool:
        report.add(pool.map(attempt, range(len(hostile_server.TALKS))))


def try_the_nodes(report: Report, folder: Path) -> None:
    """Ask a node for what it must not hand out, and let real collectors pull from nodes that break the rules."""
    node_cases.make_files(served := folder / "served")
    (token := folder / "token").write_text(node_cases.TOKEN, encoding="ascii")
    port = free_port()
    settings = {"NODE_PORT": port, "NODE_TOKEN_FILE": token, "VOLUMES": served}
    with Process("services.collector", "serve", **settings) as node:
        node.wait_for_line('"serving"', hostile_server.START_SECONDS)
        report.add(_try_all(node_cases.cases(), port))
        _check_alive(report, node, "node")

    def attempt(number: int) -> CaseResult:
        (own := folder / str(number)).mkdir()
        return node_cases.attempt(node_cases.NODES[number], own)

    with ThreadPoolExecutor(_CLIENTS_AT_ONCE) as pool:
        report.add(pool.map(attempt, range(len(node_cases.NODES))))


def try_the_page(report: Report, folder: Path) -> None:
    """Ask the page for what it must refuse, while it shows a run; then start services that must not start."""
    shutil.copytree(volume_cases.HONEST, volumes := folder / "volumes")
    port = free_port()
    with Process("services.collector", VOLUMES=volumes, PAGE_PORT=port, SERVER_URL="ws://127.0.0.1:1") as page:
        page.wait_for_line('"ready"', hostile_server.START_SECONDS)
        before = resident_bytes(page.pid)
        report.add(_try_all(page_cases.cases(), port))
        growth = resident_bytes(page.pid) - before
        report.check("growth of the page", "below 100 MB", _below(growth, _MOST_GROWTH_OF_PAGE, "100 MB"))
        _check_alive(report, page, "page")
    report.add(start_cases.attempt_all(folder))


def try_the_pins(report: Report) -> None:
    """Look for a package, an image or an action of which another one could be installed."""
    for check in pins.CHECKS:
        found = "; ".join(f"{finding.where}: {finding.what}" for finding in check(Path()))
        report.add([CaseResult("T21", (check.__doc__ or "").strip(), "held", found or "held")])


def try_the_containers(report: Report, folder: Path, flood_seconds: float) -> None:
    """Flood the default containers, if there is an engine."""
    if absent := container_floods.lacking():
        print(f"containers: not tried, {absent}")
        if os.environ.get("CI"):
            report.check("containers", "tried", absent)
        return
    report.add(container_floods.attempt_all(folder, flood_seconds))


def main() -> int:
    """Try everything; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos.security", description=__doc__)
    parser.add_argument("--part", action="store_true", help="a selection, in less than a minute")
    part = parser.parse_args().part
    # The crowd needs a descriptor for each of its peers.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 20_000, hard))
    report, began = Report(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="security-") as name:
        folder = Path(name)
        for side in ("wire", "ledger", "files", "client", "nodes", "page", "containers"):
            (folder / side).mkdir()
        is_long = bool(os.environ.get("LONG"))
        flood_seconds = 0.0 if part else 60.0 if is_long else 10.0
        try_the_wire(report, folder / "wire", flood_seconds)
        if not part:
            try_the_ledger(report, folder / "ledger")
            try_the_client(report, folder / "client")
            try_the_nodes(report, folder / "nodes")
            try_the_page(report, folder / "page")
            try_the_pins(report)
            if is_long:
                try_the_containers(report, folder / "containers", flood_seconds)
        report.add(volume_cases.attempt_all(folder / "files", _EVERY_FILE_IN_PART if part else _EVERY_FILE))
    wrong = sum(not result.is_right for result in report.results)
    print(report.table())
    print(f"{len(report.results)} answers, {wrong} wrong, in {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
