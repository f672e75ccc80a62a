"""Random values of the contract's types, derived from the types: a new kind of line or frame is tested at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, get_args

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import inspect

from services.contract.scalars import (
    DIGEST_PATTERN,
    LEAST_RATE,
    MARK_PATTERN,
    MAX_INTEGER,
    NAME_PATTERN,
    RUN_PATTERN,
)

Values = SearchStrategy[Any]

by_type = settings(max_examples=10)
"""For properties that follow from the fields of a type and hardly from their values: ten examples show as much."""

integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
finite = st.floats(allow_nan=False, allow_infinity=False)
records = st.dictionaries(
    st.text(), st.none() | st.booleans() | integers | finite | st.text() | st.lists(st.text(), max_size=3), max_size=5
).map(msgspec.json.encode)
"""Records as a server makes them: compact JSON objects."""


_LETTERS, _DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
_IN_NAMES, _IN_MARKS = _LETTERS + _DIGITS + "._~-", _LETTERS + _LETTERS.upper() + _DIGITS + "._:~-"


def _text(characters: str, least: int, most: int | None = None) -> SearchStrategy[str]:
    return st.text(characters, min_size=least, max_size=least if most is None else most)


# What `st.from_regex` gives for these patterns, which draws every character by itself and takes several times as long.
_BY_PATTERN: dict[str, SearchStrategy[str]] = {
    NAME_PATTERN: st.builds(str.__add__, st.sampled_from(_LETTERS + _DIGITS), _text(_IN_NAMES, 0, 62)),
    MARK_PATTERN: _text(_IN_MARKS, 0, 64),
    DIGEST_PATTERN: _text(_DIGITS + "abcdef", 8).map("x{}".format),
    RUN_PATTERN: st.builds(
        "{}T{}Z{}".format, _text(_DIGITS, 8), _text(_DIGITS, 6), st.just("") | _text(_DIGITS, 1, 9).map("-{}".format)
    ),
}


def kinds(union: Any) -> list[Any]:
    """Return the structs of a union, in its order."""
    return list(get_args(union))


@lru_cache
def instances(struct: Any) -> Values:
    """Return a strategy for a struct: every field set, within the bounds its type states."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return st.builds(struct, **{field.name: _values(field.type) for field in info.fields})


def required(struct: Any) -> list[str]:
    """Return the names of a struct's fields that have no default."""
    return [field.name for field in msgspec.structs.fields(struct) if field.required]


def single_bit_flips(data: bytes) -> Iterator[bytes]:
    """Return every copy of ``data`` that differs from it in one bit."""
    for bit in range(len(data) * 8):
        yield flipped(data, bit)


def flipped(data: bytes, bit: int) -> bytes:
    """Return ``data`` with one bit the other way."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _values(kind: inspect.Type) -> Values:
    return _MAKERS[type(kind)](kind)


def _integers(kind: inspect.IntType) -> Values:
    low = -MAX_INTEGER if kind.ge is None else kind.ge
    high = MAX_INTEGER if kind.le is None else kind.le
    return st.integers(low, high)


def _floats(kind: inspect.FloatType) -> Values:
    if kind.ge == 0 and kind.le is not None:
        # A rate, which is 0 or large enough for a schedule: no bound of its type says so.
        return st.just(0.0) | st.floats(LEAST_RATE, kind.le)
    return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False)


def _matching(pattern: str) -> SearchStrategy[str]:
    return _BY_PATTERN[pattern] if pattern in _BY_PATTERN else st.from_regex(pattern)


# A type that is missing here is a KeyError in every property of the format that uses it: add it.
_MAKERS: dict[type[inspect.Type], Callable[[Any], Values]] = {
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: _integers,
    inspect.FloatType: _floats,
    inspect.StrType: lambda kind: st.text() if kind.pattern is None else _matching(kind.pattern),
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.RawType: lambda _: records.map(msgspec.Raw),
    inspect.StructType: lambda kind: instances(kind.cls),
    inspect.UnionType: lambda kind: st.one_of(*map(_values, kind.types)),
    inspect.ListType: lambda kind: st.lists(_values(kind.item_type), max_size=3),
    inspect.TupleType: lambda kind: st.tuples(*map(_values, kind.item_types)),
    inspect.DictType: lambda kind: st.dictionaries(_values(kind.key_type), _values(kind.value_type), max_size=2),
}
