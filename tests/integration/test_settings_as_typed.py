"""A value of a setting reaches a client as it was typed: by a shell, by make, by compose, by ``.env`` and by TOML."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.client.external.profiles.profile import NAMES_BY_KEY, parse
from services.client.feeds.profile_text import toml_text
from tests.integration.programs import program
from tests.integration.stack import Stack
from tests.repo.repository import ROOT

TYPED = {
    "FEED_SEQ": '$.data["odd name"]',
    "FEED_KEY": "$$.arg.instId,$.s",
    "FEED_MATCH": r'^42\["tick",(.*)\]$',
    "FEED_HELLO": '{"op":"subscribe","note":"it\'s #1, ${HOME}, $5","client":"{client}"}\\x1e',
    "FEED_SPLIT": r"\x1e",
    "FEED_IGNORE": "#comment = 'a  b' \"c\" `d` $(e) \\$f %g !h;|&<>*?~",
    "FEED_HEARTBEAT": "one line, # no comment\nanother {seq}",
}
"""Values with dollars, blanks, quotes, commas, braces, escapes and several lines."""
SHOW = "import json, os; print(json.dumps({name: text for name, text in os.environ.items() if name[:5] == 'FEED_'}))"


def environment(**more: str) -> dict[str, str]:
    """Return an environment without any setting of a feed and without a make above."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FEED", "MAKE", "MFLAGS"))}
    return kept | more


def output(*command: str, **more: str) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, env=environment(**more), cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [*filter(shutil.which, ("sh", "bash", "dash", "zsh"))])
def test_a_shell(name: str) -> None:
    """In single quotes, each single quote of the value escaped outside of them, a shell passes it on as it is."""
    settings = " ".join(f"{setting}={_in_single_quotes(text)}" for setting, text in TYPED.items())

    assert TYPED == json.loads(output(name, "-c", f"{settings} {shlex.join([sys.executable, '-c', SHOW])}"))


def _in_single_quotes(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("by_environment", [False, True])
def test_make(by_environment: bool, tmp_path: Path) -> None:
    """Make passes a value of its command line, in single quotes, and of its environment on as it is."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "python"
    script.write_text(f"#!{sys.executable}\n{SHOW}\n", encoding="utf-8")
    script.chmod(0o755)
    (tmp_path / ".services").touch()
    # A line break cannot be in a variable of make's command line without $(define): it is for the environment.
    typed = TYPED if by_environment else {name: text for name, text in TYPED.items() if "\n" not in text}
    arguments = [] if by_environment else [f"{name}={text}" for name, text in typed.items()]
    seen = json.loads(
        output("make", "--no-print-directory", "judge", f"VENV={tmp_path}", *arguments,
               **(typed if by_environment else {}))
    )  # fmt: skip

    assert typed == {name: text for name, text in seen.items() if name in typed}


def compose_config(*options: str, **more: str) -> dict[str, str]:
    """Return the settings that compose gives to the clients; no engine is asked for it."""
    docker = program("docker", "docker.io")
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        assert not os.environ.get("CI"), "docker has no compose"
        pytest.skip("docker has no compose")
    shown = json.loads(
        output(docker, "compose", "-f", "deploy/judge.yml", *options, "config", "--format", "json", **more)
    )
    # Compose writes a dollar as two, as its own files have it.
    given = shown["services"]["client"]["environment"].items()
    return {name: text.replace("$$", "$") for name, text in given if name in TYPED and text}


def test_the_environment_of_compose() -> None:
    """Compose passes a value of its environment on as it is."""
    assert TYPED == compose_config(**TYPED)


def test_an_env_file_of_compose(tmp_path: Path) -> None:
    r"""In ``.env`` a value in single quotes is passed on as it is, with ``\'`` for a single quote."""
    file = tmp_path / "env"
    lines = [f"{name}='{text.replace(chr(39), chr(92) + chr(39))}'\n" for name, text in TYPED.items()]
    file.write_text("".join(lines), encoding="utf-8")

    assert TYPED == compose_config("--env-file", str(file))


@pytest.mark.containers
def test_containers_have_what_was_typed(folder: Path, engine: None) -> None:
    """A client's container has the values in its environment as they were typed."""
    with Stack(folder, COMPOSE_FILE="deploy/judge.yml", **TYPED) as stack:
        done = stack.compose("run", "--rm", "--no-deps", "--entrypoint", "python", "client", "-c", SHOW)

    seen = json.loads(done.stdout.splitlines()[-1])
    assert TYPED == {name: text for name, text in seen.items() if name in TYPED}


@pytest.mark.containers
def test_a_setting_for_the_wrong_container_is_refused(folder: Path, engine: None) -> None:
    """A setting after ``run -e`` reaches the container of the verdict alone, and is refused in one line."""
    # `prepare` makes these folders, and does not run with --no-deps.
    for name in ("logs", "ledger", "summary"):
        (folder / name).mkdir(mode=0o777)
    with Stack(folder, COMPOSE_FILE="deploy/judge.yml", SERVER_URL="ws://127.0.0.1:9") as stack:
        done = stack.compose("run", "--rm", "--no-deps", "-e", "FEED_SEQ=$.a", "verdict", check=False)

    assert 104 == done.returncode
    assert "error: FEED_SEQ: the clients do not get what is given with run -e" in done.stderr + done.stdout


def test_a_profile() -> None:
    """A TOML text in single quotation marks, or with escapes, is the value as it is."""
    keys = {name: key for key, name in NAMES_BY_KEY.items() if name in TYPED}
    lines = [f"{keys[name]} = {_in_toml(name, text)}\n" for name, text in TYPED.items()]
    profile = parse("a", "a", "".join(lines).replace("{client}", "{client}").encode())

    assert TYPED == profile.filled({})


def _in_toml(name: str, text: str) -> str:
    lines = [toml_text(line) for line in text.split("\n")]
    return f"[{', '.join(lines)}]" if len(lines) > 1 else lines[0]
