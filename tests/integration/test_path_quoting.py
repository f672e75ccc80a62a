"""Paths with one and two dollar signs reach a process as the guide says that they have to be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.contract.json_path import JsonPath, MalformedPath
from tests.repo.markdown import plain, rows, sections
from tests.repo.repository import ROOT, text

GUIDE = {
    row[0]: plain(row[1]) for row in rows(sections(text("docs/guides/external-feeds.md"))["Settings"]) if len(row) == 3
}
"""Where a path is written, and how."""
SHOW = f'{sys.executable} -c \'import os; print(os.environ.get("FEED_KEY"), os.environ.get("FEED_SEQ"))\''


def environment(**more: str) -> dict[str, str]:
    """Return an environment without any setting of a feed and without a make above."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FEED_", "MAKE", "MFLAGS"))}
    return kept | more


def shell(command: str, name: str = "bash") -> str:
    """Return what a shell command prints."""
    done = subprocess.run([name, "-c", command], env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["sh", "bash"])
def test_single_quotes_keep_a_path(name: str) -> None:
    """In single quotes every path reaches the process as it is written."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name}")

    assert "$$.arg.instId" == JsonPath("$$.arg.instId").text
    assert "$$.arg.instId $[2]" == shell(f"{GUIDE['shell']} FEED_SEQ='$[2]' {SHOW}", name)


@pytest.mark.parametrize("written", ['"$$.arg"', '"$[2]"'])
def test_what_a_shell_leaves_of_a_path_is_refused(written: str) -> None:
    """Without single quotes bash replaces a part of the path, and the error names that."""
    left, _ = shell(f"FEED_KEY={written} {SHOW}").split(" ")

    with pytest.raises(MalformedPath, match="outside of single quotes"):
        JsonPath(left)


def make(folder: Path, more: str = "", **settings: str) -> str:
    """Return what a recipe of the Makefile, with more lines, sees of the settings."""
    extra = folder / "show.mk"
    extra.write_text(f"{more}\nshow:\n\t@{SHOW.replace('$', '$$')}\n")
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "-f", str(extra), "show"]
    done = subprocess.run(command, env=environment(**settings), cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_passes_on_its_environment(tmp_path: Path) -> None:
    """A path in the environment of make reaches a recipe as it is."""
    setting, *command = GUIDE["make"].replace("'", "").split()
    assert ["make", "local"] == command

    name, _, path = setting.partition("=")
    assert "$$.arg.instId $[-2]" == make(tmp_path, FEED_SEQ="$[-2]", **{name: path})


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_what_a_makefile_leaves_of_a_path_is_refused(tmp_path: Path) -> None:
    """A path whose dollar a makefile took is refused, and the error names that; a dollar that is doubled stays."""
    key, seq = make(tmp_path, "export FEED_KEY = $.seq\nexport FEED_SEQ = $$.seq").split(" ")

    assert "$.seq" == JsonPath(seq).text
    with pytest.raises(MalformedPath, match="a makefile reads"):
        JsonPath(key)
