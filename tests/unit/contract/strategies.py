"""Random values of the contract's own types, derived from the types: a new kind of line or frame is tested at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import inspect

from services.contract.fields import MAX_INTEGER

Values = SearchStrategy[Any]

integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
finite = st.floats(allow_nan=False, allow_infinity=False)
records = st.dictionaries(
    st.text(), st.none() | st.booleans() | integers | finite | st.text() | st.lists(st.text(), max_size=3), max_size=5
).map(msgspec.json.encode)
"""Records as a server makes them: compact JSON objects."""


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
    match kind:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=low, le=high):
            return st.integers(-MAX_INTEGER if low is None else low, MAX_INTEGER if high is None else high)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=pattern):
            return st.text() if pattern is None else st.from_regex(pattern)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.RawType():
            return records.map(msgspec.Raw)
        case inspect.StructType(cls=struct):
            return instances(struct)
        case _:
            return _containers(kind)


def _containers(kind: inspect.Type) -> Values:
    match kind:
        case inspect.UnionType(types=types):
            return st.one_of(*map(_values, types))
        case inspect.ListType(item_type=item):
            return st.lists(_values(item), max_size=3)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_values, items))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key), _values(value), max_size=2)
        case _:
            raise NotImplementedError(f"no strategy for {kind}")
