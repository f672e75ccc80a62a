"""Evidence of some clients as bytes, for what a part of a run holds besides results. Pure.

The bytes are a compressed tree in MessagePack: plain values as they are, and everything else as an array that begins
with its kind. An object has the name of its class, one of a closed list, and its attributes. Reading makes objects
without calling any function that the bytes could choose: they name classes and attributes, and never code. The two
methods to which evidence refers are on a closed list, too.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from types import MemberDescriptorType, MethodType
from typing import Any, TypeVar

import msgspec

from services.collector.cpu_yield import no_yield
from services.collector.evidence.catch_up import CatchUp
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.time_sample import TimeSample
from services.collector.evidence.timing import ClientTiming
from services.collector.scan import Source
from services.contract.bounds import EVIDENCE_BYTES

Evidence = TypeVar("Evidence", RunEvidence, TimeSample)

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_INTEGERS = range(-(2**63), 2**64)
"""Those of MessagePack; others are written as text."""
_MOST_DIGITS = 100
_CONTAINERS: dict[str, type] = {kind.__name__: kind for kind in (list, tuple, set, frozenset)}
_MAPS: dict[str, type] = {kind.__name__: kind for kind in (dict, Counter)}
_CONSTANTS: dict[str, object] = {"unset": msgspec.UNSET, "no_yield": no_yield}
_METHODS = {(CatchUp, "undecided"), (ClientTiming, "_add_late")}
"""The methods to which evidence refers."""
_FOLDERS = ("services.collector.evidence.", "services.contract.")
"""Objects of all classes of these modules may be in evidence: they hold data, and do nothing when they are made."""
_MALFORMED = (
    zlib.error, msgspec.DecodeError,
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What values of a wrong type or number lead to."""
_LEVELS = 200
"""Depth of the tree: that of evidence is below 50."""


class UnreadableEvidence(ValueError):
    """Bytes are no evidence, or name something that evidence does not have."""


class UnknownClass(TypeError):
    """Evidence has an object of a class that is none of evidence or of a format: reading would refuse it."""


def encode(evidence: RunEvidence | TimeSample) -> bytes:
    """Return evidence as bytes."""
    return zlib.compress(msgspec.msgpack.encode(_Writer().value(evidence)))


def decode(data: bytes, kind: type[Evidence]) -> Evidence:
    """Return the evidence of `encode`.

    Raises:
        UnreadableEvidence: it is something else, or larger than `EVIDENCE_BYTES`.
    """
    try:
        found = _Reader().value(msgspec.msgpack.decode(_inflated(data)))
    except UnreadableEvidence:
        raise
    except _MALFORMED as error:
        raise UnreadableEvidence(f"{type(error).__name__}: {error}") from error
    if not isinstance(found, kind):
        raise UnreadableEvidence(f"{type(found).__name__} in place of {kind.__name__}")
    return found


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(data, EVIDENCE_BYTES.value)
    if not inflater.eof:
        raise UnreadableEvidence(f"it is cut, or has over {EVIDENCE_BYTES.value:,} bytes")
    return found


@cache
def _classes() -> dict[str, type]:
    """Return the classes whose objects evidence may have, by name; all of them are loaded with those imported here."""
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(_FOLDERS)]
    found = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    own = [kind for kind in found if kind.__module__.startswith(_FOLDERS) and not issubclass(kind, BaseException)]
    return {_name(kind): kind for kind in [*own, Source]}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class _Writer:
    """Turns evidence into a tree. An object that occurs again is written as its number in the order of occurrence."""

    def __init__(self) -> None:
        self._numbers = dict[int, int]()
        # States may be made for writing; while they are kept, no other object gets their id.
        self._kept = list[object]()

    def value(self, value: object) -> object:
        """Return a value as plain values and arrays.

        Raises:
            UnknownClass: it has an object of a class that is not listed.
        """
        kind = type(value)
        if kind in _PLAIN:
            return ["int", str(value)] if kind is int and value not in _INTEGERS else value
        if isinstance(value, set | frozenset):
            # In an order that does not depend on the process.
            return [kind.__name__, self._values(sorted(value, key=repr))]
        if isinstance(value, list | tuple) and kind in (list, tuple):
            return [kind.__name__, self._values(value)]
        if isinstance(value, dict) and kind in _MAPS.values():
            return [kind.__name__, self._values(value.keys()), self._values(value.values())]
        return _special(value) or self._method(value) or self._object(value)

    def _values(self, values: Iterable[object]) -> list[object]:
        listed = list(values)
        # Most are numbers or texts only; then each needs no look.
        kinds = set(map(type, listed))
        if kinds <= _PLAIN and (int not in kinds or all(one in _INTEGERS for one in listed if type(one) is int)):
            return listed
        return [self.value(one) for one in listed]

    def _method(self, value: object) -> list[object] | None:
        if isinstance(value, MethodType) and (type(value.__self__), value.__name__) in _METHODS:
            return ["method", self.value(value.__self__), value.__name__]
        return None

    def _object(self, value: object) -> list[object]:
        known = self._numbers.get(id(value))
        if known is not None:
            return ["same", known]
        kind = type(value)
        name = _name(kind)
        if _classes().get(name) is not kind:
            raise UnknownClass(f"{name} is no class of evidence")
        self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        if isinstance(value, tuple):
            return ["object", name, self._values(value)]
        state = _state(value)
        return ["object", name, list(state), self._values(state.values())]


def _special(value: object) -> list[object] | None:
    """Return how an array or a constant is written, None for other values."""
    if isinstance(value, array):
        return ["array", value.typecode, value.tobytes()]
    name = next((name for name, constant in _CONSTANTS.items() if value is constant), None)
    return None if name is None else ["constant", name]


class _Reader:
    """Makes evidence of a tree."""

    def __init__(self) -> None:
        self._objects = list[object]()
        self._level = 0
        self._makers: dict[object, Callable[..., object]] = {
            **{name: self._container(kind) for name, kind in _CONTAINERS.items()},
            **{name: self._map(kind) for name, kind in _MAPS.items()},
            "array": _array,
            "constant": _CONSTANTS.__getitem__,
            "int": _integer,
            "method": self._method,
            "object": self._object,
            "same": self._same,
        }

    def value(self, tree: object) -> Any:
        """Return the value that a tree stands for."""
        if type(tree) in _PLAIN:
            return tree
        if not isinstance(tree, list) or not tree or not isinstance(tree[0], str) or tree[0] not in self._makers:
            raise UnreadableEvidence("it has a value of an unknown kind")
        if self._level == _LEVELS:
            raise UnreadableEvidence(f"its values are nested in more than {_LEVELS} levels")
        self._level += 1
        found = self._makers[tree[0]](*tree[1:])
        self._level -= 1
        return found

    def _values(self, tree: list[object]) -> list[Any]:
        if not isinstance(tree, list):
            raise UnreadableEvidence("it has no list where there has to be one")
        return tree if set(map(type, tree)) <= _PLAIN else [self.value(one) for one in tree]

    def _container(self, kind: type) -> Callable[[list[object]], object]:
        return lambda tree: kind(self._values(tree))

    def _map(self, kind: type) -> Callable[[list[object], list[object]], object]:
        return lambda keys, values: kind(dict(zip(self._values(keys), self._values(values), strict=True)))

    def _same(self, number: int) -> object:
        found = self._objects[number] if type(number) is int and 0 <= number < len(self._objects) else None
        if found is None:
            raise UnreadableEvidence("it refers to an object that it does not have")
        return found

    def _method(self, owner: object, name: str) -> object:
        found = self.value(owner)
        if (type(found), name) not in _METHODS:
            raise UnreadableEvidence(f"{type(found).__name__}.{name} is not part of any evidence")
        return getattr(found, name)

    def _object(self, name: object, names: list[object], *trees: list[object]) -> object:
        kind = _classes().get(name) if isinstance(name, str) else None
        if kind is None:
            raise UnreadableEvidence(f"a class {name!r:.80} is not part of any evidence")
        number = len(self._objects)
        self._objects.append(None)
        if issubclass(kind, tuple):
            found = _tuple(kind, self._values(names))
        elif issubclass(kind, msgspec.Struct):
            found = kind(**_attributes(kind, names, self._values(*trees)))
        else:
            # It refers to itself by way of others, so it exists before its attributes do.
            found = self._objects[number] = kind.__new__(kind)
            for attribute, value in _attributes(kind, names, self._values(*trees)).items():
                object.__setattr__(found, attribute, value)
        self._objects[number] = found
        return found


def _state(value: object) -> dict[str, object]:
    """Return the attributes of an object that are to be written."""
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    # Classes with attributes that cannot be written leave them out of it. With slots it is a pair.
    state: Any = value.__getstate__()
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return {**(attributes or {}), **(slots or {})}


def _attributes(kind: type, names: list[object], values: list[Any]) -> dict[str, Any]:
    """Return attributes by name; an object may have only those that its class does not use for something else."""
    found = dict[str, Any]()
    for name, value in zip(names, values, strict=True):
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise UnreadableEvidence(f"{kind.__name__} has no attribute {name!r:.80}")
        of_class = getattr(kind, name, None)
        is_field = name in getattr(kind, "__dataclass_fields__", ())
        if of_class is not None and not is_field and not isinstance(of_class, MemberDescriptorType):
            raise UnreadableEvidence(f"{kind.__name__}.{name} is no attribute of its objects")
        found[name] = value
    return found


def _tuple(kind: type, values: list[Any]) -> object:
    if len(values) != len(getattr(kind, "_fields", ())):
        raise UnreadableEvidence(f"{kind.__name__} has {len(values)} values")
    return tuple.__new__(kind, values)


def _array(typecode: str, data: bytes) -> array[Any]:
    found = array(typecode)
    found.frombytes(data)
    return found


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise UnreadableEvidence(f"it has a number of {len(text):,} digits")
    return int(text)
