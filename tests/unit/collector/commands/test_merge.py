"""Tests of services/collector/commands/merge.py."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from services.collector.__main__ import main
from services.collector.nodes.pull_record import path_of
from services.collector.results import run_part
from services.collector.scan import Source
from services.contract.nodes import PulledNode, PulledRun
from tests.builders.external_runs import log, message
from tests.builders.runs import RUN, Files, Session, blocks_of, end, good_ledger, ledger_source, log_files, write
from tests.unit.collector.evidence.test_server_clocks import files_of_two_hosts

LIMITS = "latency{client:*}.p(42)<50ms,latency.p99<1s,missing==0"


def run_of(count: int = 3, *, damaged: bool = False) -> Files:
    """Return a run with this many clients; the last line of one log may be damaged."""
    sessions = [Session(f"client-{number}", 1, number, 0, blocks_of(1, 60, 10)) for number in range(1, count + 1)]
    writer = good_ledger(sessions)
    writer.put(end(60))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    if damaged:
        lines = files[next(source for source in files if source.client == "client-1")]
        lines[2] = b"garbage\n"
    return files


def parts_of(files: Files, folder: Path, *options: str) -> list[str]:
    """Write a part for each client, of a folder with its log and the ledger; return their paths."""
    paths = []
    for name in sorted({source.client for source in files if source.client is not None}):
        write({source: lines for source, lines in files.items() if source.client in (None, name)}, folder / name)
        paths.append(str(folder / f"{name}.part"))
        assert 0 == main(["part", str(folder / name), "--out", paths[-1], *options])
    return paths


@pytest.mark.parametrize("damaged", [False, True])
def test_merged_parts_have_the_summary_of_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: bool
) -> None:
    """The merged summary is that of `verify` of all logs byte for byte, in any order, and so is the exit code."""
    files = run_of(damaged=damaged)
    write(files, tmp_path / "whole")
    code = main(["verify", str(tmp_path / "whole"), "--json", "--thresholds", LIMITS])
    whole = capsys.readouterr().out
    paths = parts_of(files, tmp_path, "--thresholds", LIMITS)
    capsys.readouterr()

    assert (99 if damaged else 0) == code
    for order in (paths, paths[::-1]):
        assert code == main(["merge", *order, "--json"])
        assert whole == capsys.readouterr().out


@pytest.mark.parametrize(("offset_us", "code"), [(600, 0), (90_000, 98)])
def test_parts_of_several_hosts_know_how_far_their_clocks_are_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_us: int, code: int
) -> None:
    """Each part has the clock offsets of its client, so that the merged check of clocks is that of the whole."""
    files = files_of_two_hosts({"a": 500, "b": offset_us})
    write(files, tmp_path / "whole")
    assert code == main(["verify", str(tmp_path / "whole"), "--json"])
    whole = capsys.readouterr().out
    paths = parts_of(files, tmp_path)
    capsys.readouterr()

    assert code == main(["merge", *paths, "--json"])
    assert whole == capsys.readouterr().out


def test_a_part_says_which_node_was_not_pulled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that were missing where one part was made make the merged run INVALID."""
    files = run_of(2)
    paths = parts_of(files, tmp_path)
    record = path_of(tmp_path / "client-2", RUN)
    record.parent.mkdir()
    missing = PulledNode(node="one", files=3, trouble="connection refused")
    record.write_bytes(msgspec.json.encode(PulledRun(run=RUN, nodes=[missing])))
    assert 0 == main(["part", str(tmp_path / "client-2"), "--out", paths[1]])
    capsys.readouterr()

    for order in (paths, paths[::-1]):
        assert 98 == main(["merge", *order])
        assert "not all files of node one are here: connection refused" in capsys.readouterr().out


def test_merge_writes_the_files_of_the_run(tmp_path: Path) -> None:
    """The files, timeline and report among them, are those that the collector writes."""
    files = run_of()
    write(files, tmp_path / "whole")
    main(["report", str(tmp_path / "whole"), "--out", str(tmp_path / "expected")])
    main(["merge", *parts_of(files, tmp_path), "--out", str(tmp_path / "got")])

    names = {path.name for path in (tmp_path / "expected").iterdir()}
    assert {"timeline.json", "report.html"} < names == {path.name for path in (tmp_path / "got").iterdir()}
    for name in sorted(names):
        assert (tmp_path / "expected" / name).read_bytes() == (tmp_path / "got" / name).read_bytes()


def external_run() -> Files:
    """Return a run of an external feed: the second client has another record than the others, and the third a gap."""
    files: Files = {}
    for client in (1, 2, 3):
        seqs = [seq for seq in range(1, 61) if (client, seq) != (3, 30)]
        texts = {seq: "another record" for seq in seqs if (client, seq) == (2, 20)}
        messages = [message(seq, place, text=texts.get(seq)) for place, seq in enumerate(seqs)]
        files.update(log(f"client-{client}", messages, seq="$.seq"))
    return files


def test_parts_of_an_external_feed_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The clients are judged by what those in other parts received, and all files are those of the whole."""
    files = external_run()
    write(files, tmp_path / "whole")
    assert 99 == main(["report", str(tmp_path / "whole"), "--json", "--out", str(tmp_path / "expected")])
    whole = capsys.readouterr().out
    paths = parts_of(files, tmp_path)
    capsys.readouterr()

    for order in (paths, paths[::-1]):
        assert 99 == main(["merge", *order, "--json", "--out", str(tmp_path / "got")])
        assert whole == capsys.readouterr().out
        for path in sorted((tmp_path / "expected").iterdir()):
            assert path.read_bytes() == (tmp_path / "got" / path.name).read_bytes()
    assert 104 == main(["merge", *paths, paths[1]])
    assert (
        "error: client-2 has a log in two parts; give each part once, and the clients of each node names of their own\n"
        == capsys.readouterr().err
    )


def test_parts_with_and_without_a_ledger_do_not_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A part that was made in a folder without the ledger is named."""
    files = run_of(2)
    first, second = parts_of(files, tmp_path)
    shutil.rmtree(tmp_path / "client-2" / "ledger")
    assert 0 == main(["part", str(tmp_path / "client-2"), "--out", second])
    capsys.readouterr()

    for order in ((first, second), (second, first)):
        assert 104 == main(["merge", *order])
        expected = f"error: {second}: it was made without a ledger, and other parts with one; make it with the ledger\n"
        assert expected == capsys.readouterr().err


def test_a_forgotten_part_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If no part has the log of a client, nothing is judged; with `--absent` the client is judged without a log."""
    first, _, third = parts_of(run_of(), tmp_path)
    capsys.readouterr()

    assert 104 == main(["merge", first, third])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert "no part has the log of client-2: add the parts of their nodes; if there is none, add --absent" in err
    assert 99 == main(["merge", first, third, "--absent"])
    assert "client-2: 60 messages missing" in capsys.readouterr().out


def test_clients_without_a_log_are_left_out_of_the_parts_of_large_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many clients a part has only those with a log, unless it is made with `--absent`."""
    monkeypatch.setattr("services.collector.results.builders.part_builder.MOST_ABSENT", 2)
    files = {source: lines for source, lines in run_of().items() if source.client != "client-3"}
    first, second = parts_of(files, tmp_path)
    capsys.readouterr()

    assert 104 == main(["merge", first, second, "--absent"])
    assert "make one part with --absent" in capsys.readouterr().err
    assert 0 == main(["part", str(tmp_path / "client-1"), "--absent", "--out", first])
    assert 99 == main(["merge", first, second, "--absent"])


def test_a_client_with_logs_in_two_parts_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same part twice, or two logs of one client, are one line and no verdict."""
    paths = parts_of(run_of(), tmp_path)
    capsys.readouterr()

    assert 104 == main(["merge", *paths, paths[0]])
    assert "error: client-1 has a log in two parts; give each part once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-40], "it is damaged"),
        (lambda data: data.replace(b'"blocks":6', b'"blocks":7'), "it is damaged: crc says"),
        (lambda data: data[: data.rindex(b"\n", 0, -1) + 1], "it has 3 lines in place of 4"),
        (lambda _: b"", "it has 0 lines in place of 4"),
        (lambda _: b"hello\n", "it is damaged"),
    ],
)
def test_a_damaged_part_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[bytes], bytes], words: str
) -> None:
    """A truncated or altered file, and one of another kind, is named."""
    paths = parts_of(run_of(), tmp_path)
    capsys.readouterr()
    path = Path(paths[1])
    path.write_bytes(change(path.read_bytes()))

    assert 104 == main(["merge", *paths])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert f"{path}: {words}" in err


def test_parts_of_other_settings_runs_and_versions_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts with other thresholds, of another ledger, or of another version do not merge; each is named."""
    _, second, _ = parts_of(run_of(), tmp_path / "a")
    (other, *_) = parts_of(run_of(), tmp_path / "b", "--thresholds", "missing==0")
    (longer, *_) = parts_of(run_of(4), tmp_path / "c")
    monkeypatch.setattr(run_part, "SOFTWARE", "streamgauge/0.0.1")
    (older, *_) = parts_of(run_of(), tmp_path / "d")
    monkeypatch.undo()
    capsys.readouterr()

    for path, words in (
        (other, f"{other}: its thresholds are not those of {second}"),
        (longer, f"{longer}: it does not have the ledger of the parts before it"),
        (older, f"{older}: it was written by streamgauge/0.0.1"),
        (str(tmp_path / "none"), "none: no such file or directory"),
    ):
        assert 104 == main(["merge", second, path])
        assert words in capsys.readouterr().err


def test_a_large_run_lists_the_clients_that_are_not_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of more than 1,000 clients the whole ones are counted, and `clients.csv` has all."""
    files = run_of(1001, damaged=True)
    paths = []
    for part in range(2):
        chosen = {source: lines for source, lines in files.items() if _is_in(source, part)}
        write(chosen, tmp_path / f"{part}")
        paths.append(str(tmp_path / f"{part}.part"))
        main(["part", str(tmp_path / f"{part}"), "--out", paths[-1]])
    write(files, tmp_path / "whole")
    capsys.readouterr()
    main(["verify", str(tmp_path / "whole"), "--json"])
    whole = capsys.readouterr().out

    assert 99 == main(["merge", *paths, "--json", "--out", str(tmp_path / "out")])
    assert whole == capsys.readouterr().out
    summary = json.loads(whole)
    assert ["client-1"] == [client["client"] for client in summary["clients"]]
    assert {"count": 1000, "whole": 1000, "states": {"finished": 1000}, "block_sizes": [10]} == summary["unlisted"]
    assert 1001 * 60 == summary["totals"]["expected"]
    with (tmp_path / "out" / "clients.csv").open() as rows:
        assert 1001 == len(list(csv.DictReader(rows)))


def _is_in(source: Source, part: int) -> bool:
    return source.client is None or int(source.client.removeprefix("client-")) % 2 == part
