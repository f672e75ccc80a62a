"""The offline commands, each on the files of a real run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from services.collector.commands import verify
from services.contract import summary
from tests.integration.conftest import CLIENTS, RECORDS, GoodRun
from tests.integration.processes import ROOT, Process, environment
from tests.readers import record_of


def run_command(*arguments: object) -> tuple[int, bytes, str]:
    """Run a command of the collector; return its exit code and the output on both streams."""
    command = [sys.executable, "-m", "services.collector", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, env=environment({}), capture_output=True, timeout=60, check=False)
    return ended.returncode, ended.stdout, ended.stderr.decode()


def test_every_message_is_shown(good_run: GoodRun) -> None:
    """``messages`` prints a line per logged message; those of one block equal the log, byte for byte."""
    code, out, err = run_command("messages", good_run.volumes.root)
    assert (0, CLIENTS * RECORDS, "") == (code, out.count(b"\n"), err)
    block = good_run.volumes.blocks("client-2")[3]
    code, out, _ = run_command(
        "messages", good_run.volumes.root, "--client", "client-2", "--session", 1, "--block", block.block
    )
    lines = out.splitlines()
    assert [one.seq for one in block.messages] == [json.loads(line)["seq"] for line in lines]
    assert all(line.endswith(record_of(one) + b"}") for line, one in zip(lines, block.messages, strict=True))


def test_slow_messages_are_found(good_run: GoodRun) -> None:
    """A latency filter at the median selects about half of the messages, all of them above it."""
    made = good_run.volumes.summary()
    assert made is not None
    median = made.latency_ns.p50
    _, out, _ = run_command("messages", good_run.volumes.root, "--slower-than", f"{median}ns")
    latencies = [json.loads(line)["latency_ns"] for line in out.splitlines()]
    assert 0.4 < len(latencies) / (CLIENTS * RECORDS) < 0.6
    assert median is not None
    assert min(latencies) > median


def test_damage_to_a_real_run_is_caught(good_run: GoodRun, tmp_path: Path) -> None:
    """``prove`` finds all twelve kinds of damage at random places; ``verify`` reports the same on a kept copy."""
    code, out, err = run_command("prove", good_run.volumes.root, "--seed", 3, "--keep", tmp_path / "proof", "--json")
    assert 0 == code, (out, err)
    caught = [json.loads(line) for line in out.splitlines()]
    assert [True] * 12 == [one["caught"] for one in caught]
    for one in caught:
        (found,) = verify.check(tmp_path / "proof" / f"{one['number']:02d}")
        assert verify.text(found).startswith(f"{good_run.name}  {one['verdict']}  ")


def test_a_damaged_run_is_salvaged(good_run: GoodRun, tmp_path: Path) -> None:
    """``verify --salvage`` saves all but the damaged block of a log, and the ledger shows the missing records."""
    damaged = Path(shutil.copytree(good_run.volumes.root, tmp_path / "damaged"))
    [log] = (damaged / "logs" / good_run.name / "client-3").glob("*.jsonl")
    lines = log.read_bytes().splitlines(keepends=True)
    broken = bytearray(lines[5])
    broken[len(broken) // 2] ^= 4
    log.write_bytes(b"".join([*lines[:5], bytes(broken), *lines[6:-1], lines[-1][:-9]]))
    block = good_run.volumes.blocks("client-3")[4]

    code, out, _ = run_command("verify", damaged, "--salvage", tmp_path / "saved")
    assert 99 == code
    assert f"client-3/{log.name}:6  left out  seq {block.first}-{block.last}".encode() in out
    _, out, _ = run_command("verify", tmp_path / "saved", "--json")
    made = summary.decode(out)
    assert [] == made.faults
    assert (block.count, 0) == (made.missing_by_cause.receipted_not_logged, made.totals.residual)
    for client in ("client-1", "client-2", "client-4", "client-5"):
        for path in (tmp_path / "saved" / "logs" / good_run.name / client).iterdir():
            assert path.read_bytes() == (good_run.volumes.root / path.relative_to(tmp_path / "saved")).read_bytes()


def test_a_run_is_no_worse_than_itself(good_run: GoodRun, tmp_path: Path) -> None:
    """``compare`` finds no change against the same summary, a regression after a loss, and refuses another workload."""
    made = good_run.volumes.summary()
    assert made is not None
    kept = tmp_path / "kept.json"
    kept.write_bytes(summary.encode(made))
    code, out, err = run_command("compare", good_run.volumes.root, kept, "--json")
    assert 0 == code, err
    assert {0.0, None} == {change["change"] for change in json.loads(out)["changes"]}

    totals = msgspec.structs.replace(made.totals, missing=1)
    kept.write_bytes(summary.encode(msgspec.structs.replace(made, totals=totals)))
    assert 99 == run_command("compare", good_run.volumes.root, kept)[0]

    kept.write_bytes(summary.encode(msgspec.structs.replace(made, total=RECORDS + 1)))
    code, _, err = run_command("compare", good_run.volumes.root, kept)
    assert 104 == code
    assert f"records: {RECORDS:,} records and {RECORDS + 1:,} records" in err


def test_each_client_is_held_to_a_limit(good_run: GoodRun) -> None:
    """Thresholds apply to any percentile, of one client or of each; the exit code reports whether they hold."""
    held = "latency{client:client-3}.p(97.5)<60s, missing{client:*}==0, silence{client:*}<60s, clients==5"
    code, out, _ = run_command("verify", good_run.volumes.root, "--thresholds", held)
    assert 0 == code, out
    assert 4 == out.decode().count("  ✓ ")
    assert 99 == run_command("verify", good_run.volumes.root, "--thresholds", "transit{client:*}.p1<1ns")[0]


def test_parts_of_a_real_run_merge_to_its_summary(good_run: GoodRun, tmp_path: Path) -> None:
    """``part`` of a folder for each client, and ``merge`` of these: what ``verify`` prints of all of them."""
    root, parts = good_run.volumes.root, []
    for folder in sorted((root / "logs" / good_run.name).iterdir()):
        node = tmp_path / folder.name
        shutil.copytree(root / "ledger", node / "ledger")
        shutil.copytree(folder, node / "logs" / good_run.name / folder.name)
        parts.append(tmp_path / f"{folder.name}.part")
        code, _, err = run_command("part", node, "--out", parts[-1])
        assert (0, "") == (code, err)

    assert run_command("verify", root, "--json", "--run", good_run.name) == run_command("merge", *parts, "--json")


def test_every_command_teaches() -> None:
    """The help of each command has a description, examples and exit codes."""
    for name in ("wait", "verify", "compare", "messages", "prove"):
        with Process("services.collector", name, "--help") as helping:
            assert 0 == helping.wait(), helping.text
        assert "examples:\n" in helping.text
        assert "exit codes: 0 " in helping.text
