"""Tests of the files that a node hands out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.collector.nodes.shared_files import NoSuchFile, folder_id, info, listing, read_part
from services.contract.blocklog import MAX_LINE
from tests.builders.runs import RUN, good_run, ledger_source, log_source, write


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a volumes folder with a run, in a folder that has a secret beside it."""
    write(good_run(), tmp_path / "volumes")
    (tmp_path / "secret.jsonl").write_text("secret")
    return tmp_path / "volumes"


def test_runs_and_files_are_listed_with_their_sizes(volumes: Path) -> None:
    """A node lists its runs, and of a run ledger and logs."""
    found = {(file.client, file.name): file.size for file in listing(volumes, RUN).files}

    assert [RUN] == info(volumes, "one").runs
    assert {(source.client, source.name): sum(map(len, lines)) for source, lines in good_run().items()} == found
    assert [] == listing(volumes, "20261122T073001Z").files


def test_a_part_of_a_file_is_read(volumes: Path) -> None:
    """Bytes from an offset on are read, fewer at the end of the file, none behind it."""
    whole = b"".join(good_run()[log_source("client-1")])
    name = log_source("client-1").name

    assert (whole[10:30], len(whole)) == read_part(volumes, RUN, "client-1", name, 10, 20)
    assert whole[-5:] == read_part(volumes, RUN, "client-1", name, len(whole) - 5, 20).data
    assert b"" == read_part(volumes, RUN, "client-1", name, len(whole) + 1, 20).data
    assert read_part(volumes, RUN, None, ledger_source().name, 0, 20).data.startswith(b'{"crc"')


@pytest.mark.parametrize(
    ("run", "client", "name"),
    [
        (RUN, None, "..%2F..%2Fsecret.jsonl"),
        (RUN, None, "../../secret.jsonl"),
        (RUN, "..", "0001-0001.jsonl"),
        ("..", None, "secret.jsonl"),
        ("", None, "secret.jsonl"),
        (RUN, "client-1", "link.jsonl"),
        (RUN, "client-1", "pipe.jsonl"),
        (RUN, "client-1", "folder.jsonl"),
        (RUN, "client-1", "control.token"),
        (RUN, "client-1", ".hidden.jsonl"),
        (RUN, "client-1", "nothing.jsonl"),
        (RUN, "linked", "secret.jsonl"),
        ("20261122T073001Z", None, "secret.jsonl"),
        (RUN, "client-1", "a%00.jsonl"),
    ],
)
def test_nothing_else_is_handed_out(volumes: Path, run: str, client: str | None, name: str) -> None:
    """Links, pipes, folders, other kinds of files and paths that lead elsewhere do not exist for a peer."""
    folder = volumes / "logs" / RUN / "client-1"
    (folder / "link.jsonl").symlink_to(volumes.parent / "secret.jsonl")
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()
    for secret in ("control.token", ".hidden.jsonl"):
        (folder / secret).write_text("secret")
    (volumes / "logs" / RUN / "linked").symlink_to(volumes.parent, target_is_directory=True)
    (volumes / "ledger" / "20261122T073001Z").symlink_to(volumes.parent, target_is_directory=True)

    with pytest.raises(NoSuchFile):
        read_part(volumes, run, client, name, 0, 100)
    names = {file.name for file in listing(volumes, RUN).files}
    assert {source.name for source in good_run()} == names
    assert [] == listing(volumes, "20261122T073001Z").files


def test_no_other_run_is_listed(volumes: Path) -> None:
    """A name that is none of a run has no files."""
    with pytest.raises(NoSuchFile):
        listing(volumes, "..")


def test_a_file_ends_at_its_first_hole(volumes: Path) -> None:
    """A sparse file, which may be larger than any disk, is handed out up to its hole, and is marked."""
    path = volumes / "logs" / RUN / "client-1" / "0009-0001.jsonl"
    path.write_bytes(b"x" * 8192)
    os.truncate(path, 2**40)
    (found,) = [file for file in listing(volumes, RUN).files if file.name == path.name]

    assert found.has_hole
    assert 8192 <= found.size < MAX_LINE
    assert found.size == read_part(volumes, RUN, "client-1", path.name, 0, MAX_LINE).size


def test_folders_differ_by_their_identity(tmp_path: Path) -> None:
    """Two folders have two identities, and a folder one."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()

    assert folder_id(one) == folder_id(one) != folder_id(other)
