"""Profiles of external feeds, as an operator uses them: check a feed, judge it, and be told of mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, Process, Program, free_port
from tests.repo.markdown import fences, sections
from tests.repo.repository import text

SECONDS = 3


@pytest.fixture(scope="module")
def feed() -> Iterator[str]:
    """The example feed; yields its host and port."""
    port = free_port()
    script = str(ROOT / "docs" / "examples" / "feed.py")
    with Program("feed", sys.executable, script, PORT=port, RATE=100):
        yield f"127.0.0.1:{port}"


def errors(text: str) -> list[str]:
    """Return the lines that report mistakes."""
    return [line.partition("error: ")[2] for line in text.splitlines() if "error: " in line]


def test_a_profile_is_judged(feed: str, tmp_path: Path) -> None:
    """A run with a profile alone passes: address, greeting, number and time are in the file, a variable is given."""
    with Process(
        "services", CLIENTS=2, VOLUMES=tmp_path, PAGE_PORT=free_port(), FEED="feeds/example.toml",
        FEED_VARIABLES=f"host={feed}", FEED_SECONDS=SECONDS,
    ) as run:  # fmt: skip
        code = run.wait(40)

    assert 0 == code, run.text
    assert re.search(r"PASS +2 clients", run.text)


def test_check_proposes_what_a_feed_needs(feed: str) -> None:
    """A look at a feed by address and greeting alone proposes number and time, as variables and as a profile."""
    with Process(
        "services.client", "feeds", "check", "--url", f"ws://{feed}", "--seconds", str(SECONDS),
        FEED_HELLO='{"op":"subscribe"}',
    ) as look:  # fmt: skip
        code = look.wait(30)

    assert 0 == code, look.text
    assert "  FEED_SEQ='$.seq'" in look.lines
    assert "  FEED_TIME='$.ts ms'" in look.lines
    assert "number = '$.seq'" in look.lines
    assert '{"seq": ' in look.text


def test_check_confirms_a_profile(feed: str) -> None:
    """A look by a right profile shows number and time of ten messages and proposes nothing."""
    with Process(
        "services.client", "feeds", "check", "feeds/example.toml", "--seconds", str(SECONDS),
        FEED_VARIABLES=f"host={feed}",
    ) as look:  # fmt: skip
        code = look.wait(30)

    assert 0 == code, look.text
    assert "nothing else is proposed" in look.lines
    assert "records rise by one" in look.text
    assert 10 == len([line for line in look.lines if re.match(r"\d+ .*\d\d:\d\d:\d\d\.\d{3} .*\{", line)]), look.text


def test_check_says_why_nothing_came() -> None:
    """A look at a server that is not there says why, and ends with 105."""
    with Process(
        "services.client", "feeds", "check", "--url", f"ws://127.0.0.1:{free_port()}", "--seconds", "1"
    ) as look:
        code = look.wait(30)

    assert 105 == code
    assert "refused: connection refused" in look.text
    assert "Traceback" not in look.text


def test_presets_are_listed_and_shown() -> None:
    """The list has every preset with its variables, and a preset can be printed."""
    with Process("services.client", "feeds") as listed, Process("services.client", "feeds", "show", "kraken") as shown:
        codes = listed.wait(20), shown.wait(20)

    assert (0, 0) == codes
    assert any(line.startswith("kraken ") for line in listed.lines)
    assert any("symbol: the market (default BTC/USD)" in line for line in listed.lines)
    assert 'url = "wss://ws.kraken.com/v2"' in shown.lines


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"FEED_SEKQ": "$.x"}, "FEED_SEKQ: no such setting; did you mean FEED_SEQ?"),
        ({"FEED_BANANA": "1"}, "FEED_BANANA: no such setting; "),
        ({"FEED": "krakn"}, "FEED='krakn': no such preset; did you mean kraken?"),
        ({"FEED": "feeds/none.toml"}, "FEED='feeds/none.toml': No such file or directory"),
        ({"FEED": "graphql-ws", "SERVER_URL": "ws://a"}, "FEED=graphql-ws: the variable query has no value"),
    ],
)
def test_a_mistake_is_one_line(settings: dict[str, str], expected: str, tmp_path: Path) -> None:
    """A mistake ends the client with 104 and one line that names it, without a traceback."""
    with Process("services.client", VOLUMES=tmp_path, **settings) as client:
        assert 104 == client.wait()

    assert [expected] == [line[: len(expected)] for line in errors(client.text)], client.text


def test_the_guide_leads_to_a_profile(feed: str, tmp_path: Path) -> None:
    """The guide's commands for an unknown feed lead, by what they print alone, to a profile that is confirmed."""
    section = sections(text("docs/guides/external-feeds.md"))["Your own feed"]
    commands = [
        line[2:] for fence in fences(re.sub(r"(?m)^   ", "", section), "console") for line in fence.text.split("\n")
    ]
    looks = [command for command in commands if "feeds check" in command]
    profile = tmp_path / "mine.toml"

    seen = []
    for command in looks:
        named = command.replace("127.0.0.1:9000", feed).replace("feeds/mine.toml", str(profile))
        run = f"{named.replace('python -m', f'{sys.executable} -m')} --seconds {SECONDS}"
        done = subprocess.run(["sh", "-c", run], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        seen.append(done.stdout)
        written = re.search(r"^the whole profile, for .*?\n\n(.*?)\n\nnext\n", done.stdout, re.DOTALL | re.MULTILINE)
        if written is not None:
            profile.write_text(written[1], encoding="utf-8")

    assert 3 == len(seen)
    assert "connected, and nothing came" in seen[0]
    assert "  FEED_SEQ='$.seq'\n      numbers found at $.seq; those rise by one\n" in seen[1]
    assert "nothing else is proposed" in seen[2]
    assert any(command.startswith("make judge ") for command in commands)
