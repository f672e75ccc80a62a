"""Tests of the command ``feeds``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from services.client.external.profiles.profile import preset_names
from services.client.feeds.command import add_arguments, run
from services.runtime import cli
from services.runtime.errors import EXIT_ABORTED, BadSettings
from tests.unit.client.external.fakes import external_server, sends


def chosen(*arguments: str) -> argparse.Namespace:
    """Return the parsed arguments of the command."""
    parser = cli.Parser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "environment", "problem"),
    [
        (("show",), {}, "expected the name of a preset"),
        (("show", "krakn"), {}, "did you mean kraken?"),
        (("check", "--seconds", "0.5"), {}, "--seconds 0.5: expected a number from 1 to 600"),
        (("check",), {"FEED": "streamgauge"}, "this project's own feed needs no settings"),
        (("check", "krakn"), {}, "did you mean kraken?"),
    ],
)
def test_a_mistake_is_refused(arguments: tuple[str, ...], environment: Mapping[str, str], problem: str) -> None:
    """A wrong argument is one line with the expected form."""
    with pytest.raises(BadSettings) as refused:
        run(chosen(*arguments), environment)

    assert problem in str(refused.value)


def test_the_list_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an argument all presets that this version can use are listed."""
    assert 0 == run(chosen(), {})
    text = capsys.readouterr().out
    assert set(preset_names()) <= set(text.split())
    assert text.endswith("\n  make judge FEED=kraken FEED_VARIABLES='symbol=ETH/USD' SECONDS=60 CLIENTS=3\n")


def test_a_preset_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A preset is printed to be copied."""
    assert 0 == run(chosen("show", "kraken"), {})
    assert 'url = "wss://ws.kraken.com/v2"\n' in capsys.readouterr().out


def test_a_profile_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile of one's own is printed like a preset."""
    path = tmp_path / "mine.toml"
    path.write_text("[sequence]\nnumber = '$.a' # mine\n", encoding="utf-8")

    assert 0 == run(chosen("show", str(path)), {})
    assert "[sequence]\nnumber = '$.a' # mine\n" == capsys.readouterr().out


def test_a_feed_is_checked_by_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    """The address of an unknown feed is enough for a check, which shows its messages."""

    async def checked() -> int:
        async with external_server(sends(*range(1, 30))) as url:
            return await asyncio.to_thread(
                run, chosen("check", "--url", url, "--seconds", "30"), {"FEED_END": "messages 29"}
            )

    assert 0 == asyncio.run(checked())
    shown = capsys.readouterr().out
    assert "  FEED_SEQ='$.seq'" in shown
    assert "numbers found at $.seq; those rise by one" in shown


def test_a_feed_without_a_message_ends_in_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """If no message came, the exit code says so, and the report why."""

    async def refuses(connection: ServerConnection) -> None:
        await connection.close(4401, "token expired")

    async def checked() -> int:
        async with external_server(refuses) as url:
            return await asyncio.to_thread(
                run, chosen("check", "--url", url, "--seconds", "30"), {"FEED_END": "close 4401"}
            )

    assert EXIT_ABORTED == asyncio.run(checked())
    assert "closed 4401: token expired\n0 messages" in capsys.readouterr().out
