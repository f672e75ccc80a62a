"""Tests of what is shown of a feed before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import cli
from services.runtime.errors import BadSettings
from services.server.feed import preview
from services.server.feed.generator import CHUNK, FAKER_VERSION, FeedGenerator
from services.server.feed.preview import MOST_BARS, MOST_SHOWN, SAMPLE, Speed, as_text, sizes_of, speed_of
from tests.unit.server.fakes import feed

Show = Callable[..., str]


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Show:
    """Return what does as the command line says, without measuring long, and returns what it prints."""
    monkeypatch.setattr(preview, "speed_of", lambda _: Speed(2_000_000, 566_000_000))

    def shown(*arguments: str, **environment: str) -> str:
        parser, commands = cli.parser(preview.PROGRAM, "Serves.", preview.EXITS, "1.0", preview.run)
        preview.add(commands)
        chosen = parser.parse_args(["preview", *arguments])
        assert 0 == chosen.command(chosen, environment)
        return capsys.readouterr().out

    return shown


def test_records_are_those_that_would_be_sent(show: Show) -> None:
    """The first ten records are shown as they are, then the feed's identity, sizes and speed."""
    lines = show().splitlines()

    assert [record.decode() for record in feed().records(1, 10)] == lines[:10]
    assert f"  feed    {feed().identity}   Faker {FAKER_VERSION}" == lines[11]
    sizes = sorted(len(record) for record in feed().records(1, SAMPLE))
    assert lines[12].startswith(f"  size    min {sizes[0]}   p50 {sizes[SAMPLE // 2]}   p99 ")
    assert lines[12].endswith(f"   max {sizes[-1]} bytes, of the first 16,384 records")
    assert "  speed   2,000,000 records/s   566.0 MB/s   made by one core of this machine" == lines[-1]


def test_arguments_come_before_the_environment(show: Show, tmp_path: Path) -> None:
    """What is not said on the command line is taken from the settings."""
    schema = tmp_path / "mine.toml"
    schema.write_text('size = 512\n[fields]\nx = "name"\n', encoding="utf-8")
    arguments = ("--schema", str(schema), "--seed", "7", "--count", "2", "--json")
    shown = json.loads(show(*arguments, SCHEMA="order", SEED="8", LOCALE="de_DE"))
    expected = FeedGenerator(str(schema), "de_DE", 7)

    assert ("mine", "de_DE", 7, expected.identity) == tuple(shown[key] for key in ("schema", "locale", "seed", "feed"))
    assert [json.loads(record) for record in expected.records(1, 2)] == shown["records"]
    assert ({512}, SAMPLE) == ({shown["sizes"][key] for key in ("min", "p50", "p99", "max", "mean")}, SAMPLE)
    assert {"records": 2_000_000, "bytes": 566_000_000} == shown["speed"]


def test_no_records_are_shown(show: Show) -> None:
    """The figures can be had without records."""
    assert show("--count", "0").startswith("  feed    person-en_US-42-")


def test_mistakes_are_those_of_the_settings(show: Show) -> None:
    """A schema that cannot be used is refused as the service refuses it, with all other mistakes."""
    with pytest.raises(BadSettings, match=r"SCHEMA='persn': expected .*did you mean person\?"):
        show("--schema", "persn", RATE="5:x")


@pytest.mark.parametrize("count", ["ten", "-1", "1000001", "²"])
def test_a_count_is_a_number(show: Show, count: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A count that is no number ends with the exit code for bad configuration."""
    with pytest.raises(SystemExit) as ended:
        show(f"--count={count}")

    assert 104 == ended.value.code
    assert f"error: argument --count: expected a number up to 1000000, not '{count}'" in capsys.readouterr().err


@given(st.lists(st.integers(1, 70_000), min_size=1))
def test_every_size_is_in_one_bar(sizes: list[int]) -> None:
    """Bars stand side by side, are as wide as each other, few, and count every record once."""
    made = sizes_of(sizes)

    assert (min(sizes), max(sizes), len(sizes)) == (made.min, made.max, made.records)
    assert [sum(begin <= size <= end for size in sizes) for begin, end, _ in made.bars] == [bar[2] for bar in made.bars]
    assert len(sizes) == sum(count for _, _, count in made.bars)
    assert len(made.bars) <= MOST_BARS
    assert 1 == len({end - begin for begin, end, _ in made.bars})


def test_percentiles() -> None:
    """Half of the records are at most the median, and all but one in a hundred at most p99."""
    made = sizes_of(range(1, 102))

    assert (51, 100, 51) == (made.p50, made.p99, made.mean)


def test_speed_is_that_of_one_core() -> None:
    """Speed counts whole chunks that were never made before, over the time they took."""
    ticks = iter([10.0, 10.0, 10.2, 10.5])
    speed = speed_of(feed(), 0.5, lambda: next(ticks))
    size = len(feed().lines(SAMPLE + 1, SAMPLE + 2 * CHUNK))

    assert (2 * CHUNK / 0.5, size / 0.5) == speed


def test_a_long_record_is_cut() -> None:
    """On a terminal a large record does not hide the others."""
    shown = as_text(feed(), [b"x" * 401, b"y" * 400], sizes_of([400, 401]), Speed(1, 1)).splitlines()

    assert [MOST_SHOWN, MOST_SHOWN] == [len(line) for line in shown[:2]]
    assert ("x…", "yy") == (shown[0][-2:], shown[1][-2:])


def test_equal_sizes_need_no_bars() -> None:
    """Records that are all of one size have no histogram."""
    assert 3 == len(as_text(feed(), [], sizes_of([512] * 9), Speed(1, 1)).splitlines())
    assert 6 == len(as_text(feed(), [], sizes_of([512, 514]), Speed(1, 1)).splitlines())
