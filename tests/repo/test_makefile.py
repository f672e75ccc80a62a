"""`make` lists every target, and a target runs the command that documents and other tests assume."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repo.repository import ROOT, text


def make(*arguments: str) -> str:
    """Return the output of make, without the variables of an outer make."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=True).stdout


def verbs() -> list[str]:
    """Return the targets that are no files."""
    found = re.search(r"^\.PHONY: (.+)$", text("Makefile"), flags=re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("verb", verbs())
def test_make_lists_every_verb(verb: str) -> None:
    """`make` alone shows every target with its meaning."""
    assert re.search(rf"^make {verb} +\S.*$", make(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "does"),
    [
        (["up", "CLIENTS=3"], "CLIENTS=3 docker compose up --scale client=3"),
        (["wait"], "docker compose exec -T collector python -m services.collector wait"),
        (["local", "CLIENTS=3"], "CLIENTS=3 .*/python -m services$"),
        (["judge", "CLIENTS=3"], "CLIENTS=3 .*/python -m services$"),
        (["test"], r"/python -m pytest -n \d+ --timeout \d+ *$"),
        (["test", "ARGS=-k resume"], r"/python -m pytest -n \d+ --timeout \d+ -k resume$"),
        (["test", "WORKERS=7"], "/python -m pytest -n 7 "),
        (["unit"], r"/python -m pytest -n \d+ --timeout \d+ tests/unit *$"),
        (["coverage"], "/python -m pytest .*--cov .*tests/unit *$"),
        (["format"], "/ruff check --fix$"),
        (["format"], "/ruff format$"),
        (["house"], "/python -m tools.house *$"),
        (["faults"], "/python -m chaos *$"),
        (["faults", "ARGS=chaos/wire"], "/python -m chaos chaos/wire$"),
        (["security"], "/python -m chaos.security *$"),
        (["security", "LONG=1"], "LONG=1 .*/python -m chaos.security *$"),
        (["foreign"], "/python -m chaos.external *$"),
        (["podman"], r"PODMAN_COMPOSE=/\S+ .*/python -m pytest --timeout \d+ tests/podman *$"),
        (["scale"], "/python -m chaos.scale *$"),
        (["scale", "ARGS=a"], "/python -m chaos.scale a$"),
        (["bench"], "/python -m benchmarks"),
        (["sbom"], "/python -m tools.supply_chain sbom *$"),
        (["audit"], "/python -m tools.supply_chain audit *$"),
        (["release-file"], "/python -m tools.release files *$"),
        (["screenshots"], "/python -m tools.screenshots$"),
        (["check"], "/ruff check$"),
        (["check"], "/ruff format --check$"),
        (["check"], "/mypy$"),
        (["check"], "/mypy --platform darwin .*services$"),
        (["check"], "/lint-imports$"),
        (["check"], "tests/repo/test_sizes.py$"),
        (["check"], "/codespell$"),
        (["check"], "/shellcheck .*docs/conformance/check.sh$"),
        (["javascript"], "/eslint .*services"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_verb_does(arguments: list[str], does: str) -> None:
    """A target runs the same command that the tests run without make."""
    assert re.search(does, make("--dry-run", *arguments), flags=re.MULTILINE)


def test_where_no_test_may_be_skipped_all_of_them_can_run() -> None:
    """`make test` installs what the tests of the manifests need where CI is set, and spares others the download."""
    assert "requirements/kubernetes.txt" in make("--dry-run", "test", "VENV=absent", "CI=1")
    assert "requirements/kubernetes.txt" not in make("--dry-run", "test", "VENV=absent", "CI=")


AWKWARD = {
    "FEED_SEQ": "$.data['u']",
    "FEED_KEY": "$$.arg.instId,$.s",
    "FEED_MATCH": r'^42\["tick",(.*)\]$',
    "FEED_HELLO": '{"op":"subscribe","price":"$5"} # no comment\n$(shell exit)',
    "FEED_SPLIT": r"\x1e",
}
"""Values with characters that make, a shell or Compose treat in a special way."""


def seen_by_services(folder: Path, verb: str, *arguments: str, **environment: str) -> dict[str, str]:
    """Return the environment that a target of make gives the services, for which a script stands in."""
    (folder / "bin").mkdir()
    script = folder / "bin" / "python"
    script.write_text(f"#!{sys.executable}\nimport json, os\nprint(json.dumps(dict(os.environ)))\n", encoding="utf-8")
    script.chmod(0o755)
    (folder / ".services").touch()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "FEED"))}
    done = subprocess.run(
        ["make", "--no-print-directory", verb, f"VENV={folder}", *arguments],
        cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("verb", ["judge", "local"])
@pytest.mark.parametrize("by_environment", [False, True])
def test_values_reach_the_services_as_typed(verb: str, by_environment: bool, tmp_path: Path) -> None:
    """A value on make's command line, or in its environment, reaches the services unexpanded."""
    on_command_line = () if by_environment else tuple(f"{name}={value}" for name, value in AWKWARD.items())
    seen = seen_by_services(tmp_path, verb, *on_command_line, **(AWKWARD if by_environment else {}))

    assert AWKWARD == {name: seen[name] for name in AWKWARD}


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["URL=ws://a/$x", "SECONDS=9", "FEED=kraken"], {}, ("ws://a/$x", "9", "kraken")),
        (
            [],
            {"SERVER_URL": "ws://b", "FEED_SECONDS": "7", "FEED": "feeds/mine.toml"},
            ("ws://b", "7", "feeds/mine.toml"),
        ),
        (["SERVER_URL=ws://c"], {"URL": "ws://d"}, ("ws://d", "", "foreign")),
        ([], {}, ("", "", "foreign")),
    ],
)
def test_judge_reaches_the_services(
    arguments: list[str], environment: dict[str, str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    """`make judge` has short names for address and duration; without FEED the feed is external all the same."""
    seen = seen_by_services(tmp_path, "judge", *arguments, **environment)

    assert expected == tuple(seen[name] for name in ("SERVER_URL", "FEED_SECONDS", "FEED"))


def test_clean_leaves_the_volumes() -> None:
    """`make clean` keeps the folder `volumes/`."""
    assert "volumes" not in make("--dry-run", "clean")
