"""Pools of Faker's values: the one place where values are made up, and that once, at start."""

from __future__ import annotations

import datetime as dt
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, Self

import msgspec
from faker import Faker
from faker.exceptions import BaseFakerException

from services.contract.wire import MAX_RECORD
from services.runtime.cli import suggest
from services.server.feed.record_schema import BadSchema, Field, Schema

POOL = 1024
"""Values in a pool. A power of two, so that a place in it is so many bits of a random number."""

_SAMPLES = 8
_CLOCKS = (
    *(dt.datetime.now, dt.datetime.today, dt.datetime.utcnow, dt.date.today),
    *(time.time, time.time_ns, time.localtime, time.gmtime),
)
# What a provider raises that cannot do with what it is told.
_FAULTS = (*(ArithmeticError, AssertionError, AttributeError, BaseFakerException, LookupError, TypeError, ValueError),)
_encode = msgspec.json.Encoder(decimal_format="number").encode

Provider = Callable[..., Any]
Providers = Mapping[str, Provider]


class UnusableField(Exception):
    """A field cannot be drawn; the text says which, and why."""


def check(schema: Schema, locale: str) -> None:
    """Try every field of a schema.

    Raises:
        BadSchema: with all that cannot be drawn, or not a second time.
    """
    fake = Faker(locale, use_weighting=False)
    providers, problems = _providers(fake), []
    for field in (field for group in schema.groups for field in group):
        try:
            _try(field, fake, providers)
        except UnusableField as why:
            problems.append(str(why))
    if problems:
        raise BadSchema(schema.source, problems)


def fill(schema: Schema, locale: str, seed: int) -> list[list[bytes]]:
    """Return a pool for each group of fields: pieces of JSON objects, such as ``"job":"Baker","company":"Smith"``.

    Raises:
        BadSchema: a field cannot be drawn.
    """
    # Without weighting Faker is 5 to 40 times as fast; how common a name is does not matter here.
    fake = Faker(locale, use_weighting=False)
    fake.seed_instance(seed)
    providers = _providers(fake)
    try:
        methods = [[(field, _method(field, fake, providers)) for field in group] for group in schema.groups]
        return [[_piece(group) for _ in range(POOL)] for group in methods]
    except UnusableField as why:
        raise BadSchema(schema.source, [str(why)]) from why


def _providers(fake: Faker) -> Providers:
    """Return what a schema may name: the public methods of Faker's providers in this locale, and nothing else."""
    found: dict[str, Provider] = {}
    # The first one that has a name is the one that Faker takes.
    for provider in reversed(fake.factories[0].providers):
        public = ((name, getattr(provider, name)) for name in dir(provider) if not name.startswith("_"))
        found.update((name, method) for name, method in public if inspect.isroutine(method))
    return found


def _method(field: Field, fake: Faker, providers: Providers) -> Provider:
    if (method := providers.get(field.provider)) is not None:
        return method
    hint = suggest(field.provider, providers)
    more = f"; {hint}" if hint else ""
    raise UnusableField(
        f"field {field.name}: Faker has no provider {field.provider!r} in locale {fake.locales[0]}{more}"
    )


def _piece(group: Iterable[tuple[Field, Provider]]) -> bytes:
    return _encode({field.name: _value(field, method) for field, method in group})[1:-1]


def _value(field: Field, method: Provider) -> Any:
    """Draw a value; what JSON has no form for becomes text, a number or a list."""
    try:
        return _plain(method(**field.arguments))
    except _FAULTS as problem:
        said = " ".join(str(problem).split()) or type(problem).__name__
        raise UnusableField(f"field {field.name}: {field.provider} says: {said}") from problem


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        # Of text it has another order in every process.
        return sorted(map(_plain, value), key=_encode)
    if isinstance(value, list | tuple | Iterator):
        return [_plain(inner) for inner in value]
    if isinstance(value, dt.tzinfo):
        return str(value)
    _encode(value)
    return value


def _try(field: Field, fake: Faker, providers: Providers) -> None:
    method = _method(field, fake, providers)
    _bind(field, method)
    drawn = []
    with _Watch() as watch:
        for _ in range(2):
            fake.seed_instance(0)
            drawn.append([_encode(_value(field, method)) for _ in range(_SAMPLES)])
    if watch.asked:
        raise UnusableField(
            f"field {field.name}: {field.provider} goes by today's date, so the same settings would give other records "
            "tomorrow; give it a beginning and an end, as in date_between with start_date and end_date"
        )
    if drawn[0] != drawn[1]:
        raise UnusableField(
            f"field {field.name}: {field.provider} does not give the same values again for the same seed"
        )
    if (size := max(map(len, drawn[0]))) > MAX_RECORD:
        raise UnusableField(
            f"field {field.name}: {field.provider} gives {size} bytes; a record has at most {MAX_RECORD}"
        )


def _bind(field: Field, method: Provider) -> None:
    parameters = inspect.signature(method).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in field.arguments:
        if name not in parameters:
            hint = suggest(name, parameters) or f"it takes {', '.join(parameters) or 'nothing'}"
            raise UnusableField(f"field {field.name}: {field.provider} does not take {name!r}; {hint}")


class _Watch:
    """Notes whether anybody asked for the time: what depends on it is no function of the settings."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _note(self, frame: FrameType, event: str, called: Any) -> None:
        # Faker finds out the zone of this machine so, and makes nothing of the time.
        if event == "c_call" and called in _CLOCKS and frame.f_code.co_name != "_get_local_timezone":
            self.asked = True
