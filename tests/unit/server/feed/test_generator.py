"""Tests of the record generator as a pure function."""

from __future__ import annotations

import hashlib
import json
import random
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import faker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.block_text import records_digest
from services.server.feed.faker_pools import POOL
from services.server.feed.generator import CHUNK, FeedGenerator, RecordTooBig
from tests.repo.repository import ROOT
from tests.unit.server.fakes import feed

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the schema file `mine.toml` and returns its path."""

    def written(text: str) -> str:
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "mine.toml")

    return written


@given(st.integers(1, 10**12), st.integers(1, 3 * CHUNK), st.data())
def test_any_slicing_gives_the_same_bytes(first: int, count: int, data: st.DataObject) -> None:
    """A range of records has the same bytes however it is split."""
    cuts = sorted(data.draw(st.sets(st.integers(first, first + count - 1), max_size=5)))
    pieces = [feed().lines(a, b - 1) for a, b in pairwise([first, *cuts, first + count])]

    assert feed().lines(first, first + count - 1) == b"".join(pieces)


@given(st.integers(1, 5000), st.integers(0, 2 * CHUNK))
def test_records_are_the_lines(first: int, count: int) -> None:
    """`records` returns the lines of `lines` without their newlines."""
    records = feed().records(first, count)

    assert count == len(records)
    assert feed().lines(first, first + count - 1) == b"".join(record + b"\n" for record in records)


@pytest.mark.parametrize("first", [1, CHUNK, CHUNK + 1, 10**12])
def test_a_record_is_a_json_object(first: int) -> None:
    """A record is compact JSON that begins with its seq as `id` and has the fields of the schema."""
    record = feed().records(first, 1)[0]
    content = json.loads(record)

    assert {"id": first, "name": str} == {"id": content["id"], "name": type(content["name"])}
    assert record == json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    assert {"name", "email", "phone", "job", "company", "street", "city", "country", "text"} == set(content) - {"id"}


def test_every_line_of_a_chunk_is_valid() -> None:
    """All lines of whole chunks are JSON, and their ids have no gap."""
    lines = feed().lines(1, 2 * CHUNK).splitlines()

    assert list(range(1, 2 * CHUNK + 1)) == [json.loads(line)["id"] for line in lines]


@given(st.one_of(st.integers(0, 3 * CHUNK), st.integers(0, 10**10)))
def test_a_chunk_equals_its_specification(number: int) -> None:
    """A chunk consists of the pool values that its own seeded generator selects, 16 bits for each value."""
    seed = hashlib.sha256(f"person/en_US/42/{number}".encode()).digest()
    dice = random.Random(int.from_bytes(seed, "big"))
    drawn = [struct.unpack(f"<{CHUNK}H", dice.randbytes(2 * CHUNK)) for _ in feed()._pools]
    lines = [
        b'{"id":%d,' % seq + b"".join(pool[at % POOL] for pool, at in zip(feed()._pools, places, strict=True))
        for seq, places in enumerate(zip(*drawn, strict=True), number * CHUNK + 1)
    ]

    assert b"".join(lines) == feed().lines(number * CHUNK + 1, (number + 1) * CHUNK)


def test_the_default_records_stay_the_same() -> None:
    """The default settings give the same records in every release with the same version of Faker."""
    assert "40.54.0" == faker.VERSION, "after pinning another Faker, enter its records here"
    assert "person-en_US-42-x3e2fdabf" == feed().identity
    assert "x0af2f5a4" == feed().digest(1, 10 * CHUNK)


def test_equal_settings_give_equal_feeds() -> None:
    """Two generators with the same settings have the same identity and records."""
    other = FeedGenerator("person", "en_US", 42)

    assert feed().identity == other.identity
    assert feed().lines(5000, 9000) == other.lines(5000, 9000)


def test_the_cache_changes_no_record() -> None:
    """A chunk is the same after others have displaced it from the cache."""
    before = feed().lines(1, 10)
    for number in range(60):
        feed().lines(number * CHUNK + 1, number * CHUNK + 1)

    assert before == feed().lines(1, 10)


@pytest.mark.parametrize(("locale", "seed"), [("en_US", 43), ("de_DE", 42)])
def test_other_settings_give_another_feed(locale: str, seed: int) -> None:
    """Another seed or locale gives other records and another identity."""
    other = FeedGenerator("person", locale, seed)

    assert feed().identity != other.identity
    assert feed().records(1, 1) != other.records(1, 1)


def test_another_schema_gives_another_feed() -> None:
    """A schema with other fields has another identity."""
    order = FeedGenerator("order", "en_US", 42)

    assert {"id", "order", "price", "customer"} < set(json.loads(order.records(1, 1)[0]))
    assert feed().identity != order.identity


def test_identity_shows_a_change_of_values(write: Write) -> None:
    """The identity contains a digest of the pools and of the size."""
    assert re.fullmatch(r"person-en_US-42-x[0-9a-f]{8}", feed().identity)
    texts = ('[fields]\nx = "name"', '[fields]\nx = "city"', 'size = 100\n[fields]\nx = "name"')
    identities = {FeedGenerator(write(text), "en_US", 42).identity for text in (*texts, *texts)}

    assert 3 == len(identities)
    assert {"mine-en_US-42-x"} == {identity[:-8] for identity in identities}


def test_a_moved_schema_file_gives_the_same_records(write: Write, tmp_path: Path) -> None:
    """A schema file gives the same records after it is moved to another folder."""
    before = FeedGenerator(write('[fields]\nx = "name"'), "en_US", 42)
    (tmp_path / "there").mkdir()
    moved = (tmp_path / "mine.toml").rename(tmp_path / "there" / "mine.toml")

    assert before.lines(1, 2000) == FeedGenerator(str(moved), "en_US", 42).lines(1, 2000)


@given(st.integers(1, 10**12), st.integers(1, CHUNK // 8))
def test_records_are_padded_to_a_size(first: int, count: int) -> None:
    """With a size every record has exactly that length, by a field of dots."""
    records = padded().records(first, count)

    assert {512} == {len(record) for record in records}
    contents = [json.loads(record) for record in records]
    assert list(range(first, first + count)) == [content["id"] for content in contents]
    assert {"."} == {character for content in contents for character in content.pop("pad")}


@lru_cache
def padded() -> FeedGenerator:
    """Return the feed of the example file, which has a size."""
    return FeedGenerator(str(ROOT / "schemas" / "example.toml"), "en_US", 42)


def test_the_size_must_hold_the_records(write: Write) -> None:
    """A size that a record may exceed is refused with the least sufficient size, and that size is accepted."""
    text = '[fields]\nx = { provider = "bothify", text = "##########" }'
    with pytest.raises(RecordTooBig, match=r"size 40: the records of this schema need (\d+) bytes") as caught:
        FeedGenerator(write("size = 40\n" + text), "en_US", 1)
    least = int(re.findall(r"need (\d+)", str(caught.value))[0])
    made = FeedGenerator(write(f"size = {least}\n{text}"), "en_US", 1)

    assert b'"pad":""}' == made.records(2**53 - 1, 1)[0][-9:]
    assert {least} == {len(record) for record in made.records(1, 2 * CHUNK)}


def test_the_cache_is_bounded_in_bytes(write: Write) -> None:
    """Fewer chunks are cached if records are large, so that they fit the memory of a container."""
    large = FeedGenerator(write('size = 65536\n[fields]\nx = "name"'), "en_US", 1)

    assert (128, 2) == (feed()._chunk.cache_parameters()["maxsize"], large._chunk.cache_parameters()["maxsize"])


def test_text_is_not_escaped() -> None:
    """Records of a locale beyond ASCII contain UTF-8 without escapes."""
    record = FeedGenerator("person", "ja_JP", 42).records(1, 1)[0]

    assert any(byte > 127 for byte in record)
    assert 1 == json.loads(record)["id"]


@given(st.integers(1, 3 * CHUNK), st.integers(1, 2 * CHUNK))
def test_digest_is_that_of_the_block_log(first: int, count: int) -> None:
    """The server's digest of a range equals the client's digest of the same records."""
    assert records_digest(feed().records(first, count)) == feed().digest(first, first + count - 1)


@given(st.integers(1, 2000), st.integers(1, 200), st.lists(st.tuples(st.integers(0, 220), st.integers(0, 9))))
def test_digest_without_the_missing(first: int, count: int, holes: list[tuple[int, int]]) -> None:
    """Missing ranges are left out of the digest, even if they overlap or lie outside."""
    missing = [(first + at, first + at + length) for at, length in holes]
    gone = {seq for a, b in missing for seq in range(a, b + 1)}
    present = [feed().records(seq, 1)[0] for seq in range(first, first + count) if seq not in gone]

    assert records_digest(present) == feed().digest(first, first + count - 1, missing)


def test_records_use_most_of_a_pool() -> None:
    """A few chunks contain most of the values of a pool."""
    names = {json.loads(line)["name"] for line in feed().lines(1, 8 * CHUNK).splitlines()}

    assert len(names) > 0.8 * len({json.loads(line)["name"] for line in feed().lines(1, 64 * CHUNK).splitlines()})


def test_a_schema_must_fit_a_frame(write: Write) -> None:
    """A schema whose records may exceed a frame is refused."""
    parts = "".join(f'{name} = {{ provider = "bothify", text = "{"x" * 20_000}" }}\n' for name in "abcd")

    with pytest.raises(RecordTooBig, match="records reach 80051 bytes; at most 65536"):
        FeedGenerator(write("[fields]\n" + parts), "en_US", 1)
