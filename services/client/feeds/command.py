"""The command ``feeds``: lists the presets, prints one, or looks at a feed and proposes its settings."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Mapping

from services.client.external.profiles import profile
from services.client.external.settings import read_feed
from services.client.feeds import report
from services.client.feeds.framing import find_protocol
from services.client.feeds.look import look, to_analyse
from services.client.feeds.proposals import analyse
from services.runtime import cli
from services.runtime.errors import EXIT_ABORTED, BadSettings

EXITS = "exit codes: 0 done, 104 bad configuration, 105 no message came"
DOES = "list the presets for external feeds, or look at a feed"
EXAMPLES = {
    "feeds": "the presets, and the variables of each",
    "feeds show binance-depth": "a preset, to be copied to feeds/mine.toml and edited",
    "feeds check feeds/mine.toml": "connect once, show the first messages as they are read, propose settings",
    "feeds check --url wss://feed.example/stream": "the same for a feed that nothing is known about",
}
DEFAULT_SECONDS = 10.0
JUDGE = "make judge FEED=kraken FEED_VARIABLES='symbol=ETH/USD' SECONDS=60 CLIENTS=3"
"""A command for a preset with a variable."""


def add_arguments(parser: cli.Parser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("does", nargs="?", choices=("list", "show", "check"), default="list", help="default: list")
    parser.add_argument("feed", nargs="?", help="a preset, or the path of a profile; by default FEED")
    parser.add_argument("--url", help="address of the feed, instead of SERVER_URL")
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_SECONDS, help="how long check receives, 1 to 600 (default: 10)"
    )


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the command; return the exit code.

    Raises:
        BadSettings: the feed is unknown, or its settings are invalid.
    """
    if chosen.does == "list":
        _print(report.preset_list([profile.load(name) for name in profile.preset_names()], _width()))
        _print(f"\nlook at one, or judge it\n  {report.PYTHON} -m services.client feeds check kraken\n  {JUDGE}")
        return 0
    if chosen.does == "show":
        if not chosen.feed:
            raise BadSettings(["feeds show: expected the name of a preset; feeds lists them"])
        profile.load(chosen.feed)
        _print(profile.path_of(chosen.feed).read_text(encoding="utf-8").rstrip("\n"))
        return 0
    return _check(chosen, environment)


def _check(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    if not 1 <= chosen.seconds <= 600:
        raise BadSettings([f"--seconds {chosen.seconds:g}: expected a number from 1 to 600"])
    given = {"FEED": environment.get("FEED", "").strip() or "foreign"}
    given |= {name: text for name, text in (("FEED", chosen.feed), ("SERVER_URL", chosen.url)) if text}
    settings = read_feed({**environment, **given})
    if settings is None:
        raise BadSettings(["FEED=streamgauge: this project's own feed needs no settings"])
    _print(f"{settings.reach.shown}: receiving for {chosen.seconds:g} s")
    seen = asyncio.run(look(settings, chosen.seconds))
    analysis = analyse(to_analyse(seen, settings))._replace(preset=find_protocol(one.data for one in seen.messages))
    for part in report.of_look(seen, settings, analysis, chosen.seconds, _width()):
        _print(part)
    return 0 if seen.total else EXIT_ABORTED


def _width() -> int:
    # A file or a pipe has no width; a wide one keeps lines whole.
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 120


def _print(text: str) -> None:
    # At once: the next text may come seconds later.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
