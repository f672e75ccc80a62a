"""Shows what would be sent before anything is: records, their sizes, and how fast this machine can make them."""

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
"""As many records, from the first on, are measured."""
MEASURE_SECONDS = 0.5
MOST_BARS, BAR, MOST_SHOWN = 12, 40, 400

_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Sizes(NamedTuple):
    """Sizes of so many records, in bytes without the newline; ``bars`` are (from, to, how many), ends included."""

    records: int
    min: int
    p50: int
    p99: int
    max: int
    mean: float
    bars: list[tuple[int, int, int]]


class Speed(NamedTuple):
    """What one core makes in a second of its own time."""

    records: float
    bytes: float


def add(commands: Commands) -> None:
    """Add the command."""
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
    """Show what was chosen; return the exit code.

    Raises:
        BadSettings: an argument or a setting cannot be used.
    """
    given = {name.upper(): getattr(chosen, name) for name in ("schema", "locale", "seed")}
    settings = ServerSettings.read({**environment, **{name: said for name, said in given.items() if said is not None}})
    feed = FeedGenerator(settings.schema, settings.locale, settings.seed)
    records = feed.records(1, chosen.count) if chosen.count else []
    sizes, speed = sizes_of([len(record) for record in feed.records(1, SAMPLE)]), speed_of(feed)
    sys.stdout.write((as_json if chosen.json else as_text)(feed, records, sizes, speed))
    return 0


def sizes_of(sizes: Sequence[int]) -> Sizes:
    """Return the figures of sizes in bytes, of which there is at least one."""
    ordered = sorted(sizes)
    least, most, last = ordered[0], ordered[-1], len(ordered) - 1
    width = _width(most - least + 1)
    begin = least - least % width
    counted = Counter((size - begin) // width for size in ordered)
    bars = [(begin + at * width, begin + (at + 1) * width - 1, counted[at]) for at in range(max(counted) + 1)]
    p50, p99 = (ordered[round(last * share)] for share in (0.5, 0.99))
    return Sizes(len(ordered), least, p50, p99, most, sum(ordered) / len(ordered), bars)


def _width(spread: int) -> int:
    """Return how many sizes a bar stands for: 1, 2 or 5 times a power of ten, so that a person can read them."""
    widths: Iterator[int] = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    return next(width for width in widths if width * (MOST_BARS - 1) >= spread)


def speed_of(
    feed: FeedGenerator, seconds: float = MEASURE_SECONDS, clock: Callable[[], float] = time.process_time
) -> Speed:
    """Make records that nobody has asked for yet, for about so long; ``clock`` is of seconds."""
    made, size, number, began = 0, 0, SAMPLE // CHUNK, clock()
    while (took := clock() - began) < seconds:
        size += len(feed.lines(number * CHUNK + 1, (number + 1) * CHUNK))
        made, number = made + CHUNK, number + 1
    return Speed(made / took, size / took)


def as_json(feed: FeedGenerator, records: Sequence[bytes], sizes: Sizes, speed: Speed) -> str:
    """Return one JSON object and a newline."""
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
    """Return what a person reads."""
    shown = [text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…" for text in map(bytes.decode, records)]
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
        full, rest = divmod(round(count * BAR * 8 / most), 8)
        bar = "█" * full + _EIGHTHS[rest].strip()
        lines.append(f"    {begin:>6,}  {bar:<{BAR}}  {count / sizes.records:>6.1%}")
    return lines
