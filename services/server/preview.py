"""The command ``preview``: prints the first records of a feed, their sizes, and how fast this machine makes them."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.runtime.cli import Commands
from services.runtime.settings import BY_NAME
from services.server.feed.generator import CHUNK, FAKER_VERSION, FeedGenerator
from services.server.settings import ServerSettings

PROGRAM = "python -m services.server"
EXITS = "exit codes: 0 shown, 104 bad configuration"
SAMPLE = 16 * CHUNK
"""Number of records, from the first on, whose sizes are measured."""
MEASURE_SECONDS = 0.5
MAX_BARS, BAR_WIDTH, MAX_CHARACTERS = 12, 40, 400

_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Sizes(NamedTuple):
    """Sizes of a number of records, in bytes without the newline; ``bars`` are (first size, last size, count)."""

    records: int
    min: int
    p50: int
    p99: int
    max: int
    mean: float
    bars: list[tuple[int, int, int]]


class Speed(NamedTuple):
    """Records and bytes that one core makes in a second of processor time."""

    records: float
    bytes: float


def add(commands: Commands) -> None:
    """Add the command to a parser."""
    parser = commands.add(
        "preview",
        "show the records that these settings give, their sizes, and how fast they can be made",
        run,
        {
            "preview": "ten records of SCHEMA, LOCALE and SEED, as the service would send them",
            "preview --schema schemas/mine.toml --locale de_DE": "a schema of your own, before it is run",
            "preview --count 1000 --json | jq -c '.records[]'": "the records alone, one a line",
        },
        EXITS,
    )
    for name in ("schema", "locale", "seed"):
        setting = BY_NAME[name.upper()]
        parser.add_argument(f"--{name}", metavar=name.upper(), help=f"{setting.meaning}; else ${setting.name}")
    parser.add_argument("--count", metavar="N", type=_count, default=10, help="how many records are shown; else 10")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a number up to 1000000, not {text!r}")
    return int(text)


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the preview; return the exit code.

    Raises:
        BadSettings: an argument or a setting cannot be used.
    """
    arguments = {name.upper(): getattr(chosen, name) for name in ("schema", "locale", "seed")}
    given = {name: value for name, value in arguments.items() if value is not None}
    settings = ServerSettings.read({**environment, **given})
    feed = FeedGenerator(settings.schema, settings.locale, settings.seed)
    records = feed.records(1, chosen.count) if chosen.count else []
    sizes, speed = measure_sizes([len(record) for record in feed.records(1, SAMPLE)]), measure_speed(feed)
    sys.stdout.write((as_json if chosen.json else as_text)(feed, records, sizes, speed))
    return 0


def measure_sizes(sizes: Sequence[int]) -> Sizes:
    """Return statistics of sizes in bytes; at least one is needed."""
    ordered = sorted(sizes)
    least, most, last = ordered[0], ordered[-1], len(ordered) - 1
    width = _width(most - least + 1)
    begin = least - least % width
    counted = Counter((size - begin) // width for size in ordered)
    bars = [(begin + bar * width, begin + (bar + 1) * width - 1, counted[bar]) for bar in range(max(counted) + 1)]
    p50, p99 = (ordered[round(last * share)] for share in (0.5, 0.99))
    return Sizes(len(ordered), least, p50, p99, most, sum(ordered) / len(ordered), bars)


def _width(spread: int) -> int:
    """Return the number of sizes per bar: 1, 2 or 5 times a power of ten, for readable bounds."""
    widths: Iterator[int] = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    return next(width for width in widths if width * (MAX_BARS - 1) >= spread)


def measure_speed(
    feed: FeedGenerator, seconds: float = MEASURE_SECONDS, clock: Callable[[], float] = time.process_time
) -> Speed:
    """Generate new chunks for about ``seconds`` by ``clock``, and return the rate.

    It begins behind the sample, so that no chunk comes from the cache.
    """
    records, size, number, began = 0, 0, SAMPLE // CHUNK, clock()
    while (took := clock() - began) < seconds:
        size += len(feed.lines(number * CHUNK + 1, (number + 1) * CHUNK))
        records, number = records + CHUNK, number + 1
    return Speed(records / took, size / took)


def as_json(feed: FeedGenerator, records: Sequence[bytes], sizes: Sizes, speed: Speed) -> str:
    """Return the preview as one JSON object and a newline."""
    content: dict[str, Any] = {
        "feed": feed.identity,
        "schema": feed.schema,
        "locale": feed.locale,
        "seed": feed.seed,
        "faker": FAKER_VERSION,
        "records": [msgspec.Raw(record) for record in records],
        "sizes": sizes._asdict(),
        "speed": speed._asdict(),
    }
    return msgspec.json.encode(content).decode() + "\n"


def as_text(feed: FeedGenerator, records: Sequence[bytes], sizes: Sizes, speed: Speed) -> str:
    """Return the preview for a terminal."""
    shown = [
        text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…" for text in map(bytes.decode, records)
    ]
    figures = f"min {sizes.min:,}   p50 {sizes.p50:,}   p99 {sizes.p99:,}   max {sizes.max:,} bytes"
    lines = [
        *shown,
        *([""] if shown else []),
        f"  feed    {feed.identity}   Faker {FAKER_VERSION}",
        f"  size    {figures}, of the first {sizes.records:,} records",
        *_bars(sizes),
        f"  speed   {speed.records:,.0f} records/s   {speed.bytes / 1e6:,.1f} MB/s   made by one core of this machine",
    ]
    return "\n".join(lines) + "\n"


def _bars(sizes: Sizes) -> list[str]:
    if sizes.min == sizes.max:
        return []
    most = max(count for _, _, count in sizes.bars)
    lines = []
    for begin, _, count in sizes.bars:
        full, rest = divmod(round(count * BAR_WIDTH * 8 / most), 8)
        bar = "█" * full + _EIGHTHS[rest].strip()
        lines.append(f"    {begin:>6,}  {bar:<{BAR_WIDTH}}  {count / sizes.records:>6.1%}")
    return lines
