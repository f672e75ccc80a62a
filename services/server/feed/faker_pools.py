"""Pools of Faker values, filled once at start, and the checks that a schema's fields can be drawn reproducibly."""

from __future__ import annotations

import datetime as dt
import inspect
import sys
import time
import warnings
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
"""Values in a pool. A power of two, so that an index is a fixed number of random bits."""

# Two draws of eight values are hardly ever equal by chance.
_SAMPLES = 8
_CLOCK_FUNCTIONS = (
    *(dt.datetime.now, dt.datetime.today, dt.datetime.utcnow, dt.date.today),
    *(time.time, time.time_ns, time.localtime, time.gmtime),
)
# Exceptions that providers raise for unsuitable arguments.
_PROVIDER_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, BaseFakerException, LookupError, TypeError, ValueError),
)
_WEIGHTED = ("es_CL",)
"""Locales whose names are two different ones drawn together, for which Faker needs the weights."""
_SUBSTITUTES = {"phone_number": "mobile_number"}
"""Providers that take the place of those that a locale lacks: the Philippine ones have no general phone number."""
_encode = msgspec.json.Encoder(decimal_format="number").encode

Provider = Callable[..., Any]
Providers = Mapping[str, Provider]


class UnusableField(Exception):
    """A field cannot be drawn; the message names the field and the reason."""


def validate(schema: Schema, locale: str) -> None:
    """Draw every field of a schema a few times, twice with the same seed.

    Raises:
        BadSchema: with every field that cannot be drawn, or that gives other values the second time.
    """
    fake = _faker(locale)
    providers, problems = _providers(fake), []
    for field in (field for group in schema.groups for field in group):
        try:
            _check(field, fake, providers)
        except UnusableField as problem:
            problems.append(str(problem))
    if problems:
        raise BadSchema(schema.source, problems)


def fill_pools(schema: Schema, locale: str, seed: int) -> list[list[bytes]]:
    """Return a pool for each group of fields: pieces of JSON objects, such as ``"job":"Baker","company":"Smith"``.

    Raises:
        BadSchema: a field cannot be drawn.
    """
    fake = _faker(locale)
    fake.seed_instance(seed)
    providers = _providers(fake)
    # All fields draw from one generator, so the order of the fields is part of the feed's definition.
    try:
        methods = [[(field, _method(field, fake, providers)) for field in group] for group in schema.groups]
        return [[_piece(group) for _ in range(POOL)] for group in methods]
    except UnusableField as problem:
        raise BadSchema(schema.source, [str(problem)]) from problem


def _faker(locale: str) -> Faker:
    with warnings.catch_warnings():
        # Faker announces that it will rename a locale: lines of text among the service's JSON lines, and nothing to do
        # for the operator as long as Faker's version is pinned.
        warnings.simplefilter("ignore", UserWarning)
        # Without weighting Faker is 5 to 40 times as fast; realistic name frequencies do not matter here.
        return Faker(locale, use_weighting=locale in _WEIGHTED)


def _providers(fake: Faker) -> Providers:
    """Return the public methods of Faker's providers in this locale: a schema may name these and nothing else.

    A schema file is data of a user, so it must not reach any other attribute of an object.
    """
    methods: dict[str, Provider] = {}
    # Faker uses the first provider that has a method of the name, so it is added last.
    for provider in reversed(fake.factories[0].providers):
        public = ((name, getattr(provider, name)) for name in dir(provider) if not name.startswith("_"))
        methods.update((name, method) for name, method in public if inspect.isroutine(method))
    return methods


def _method(field: Field, fake: Faker, providers: Providers) -> Provider:
    for provider in (field.provider, _SUBSTITUTES.get(field.provider, "")):
        if (method := providers.get(provider)) is not None:
            return method
    suggestion = suggest(field.provider, providers)
    hint = f"; {suggestion}" if suggestion else ""
    raise UnusableField(
        f"field {field.name}: Faker has no provider {field.provider!r} in locale {fake.locales[0]}{hint}"
    )


def _piece(group: Iterable[tuple[Field, Provider]]) -> bytes:
    # Without the braces, so that the pieces of several groups can be joined to one object.
    return _encode({field.name: _value(field, method) for field, method in group})[1:-1]


def _value(field: Field, method: Provider) -> Any:
    """Draw a value and convert it to one that JSON can represent."""
    try:
        return _plain(method(**field.arguments))
    except _PROVIDER_ERRORS as problem:
        message = " ".join(str(problem).split()) or type(problem).__name__
        raise UnusableField(f"field {field.name}: {field.provider} fails: {message}") from problem


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        # The order of a set of strings differs between processes, since string hashes are salted.
        return sorted(map(_plain, value), key=_encode)
    if isinstance(value, list | tuple | Iterator):
        return [_plain(inner) for inner in value]
    if isinstance(value, dt.tzinfo):
        return str(value)
    _encode(value)
    return value


def _check(field: Field, fake: Faker, providers: Providers) -> None:
    method = _method(field, fake, providers)
    _check_arguments(field, method)
    drawn = []
    with _ClockWatch() as watch:
        for _ in range(2):
            fake.seed_instance(0)
            drawn.append([_encode(_value(field, method)) for _ in range(_SAMPLES)])
    if watch.was_clock_read:
        raise UnusableField(
            f"field {field.name}: {field.provider} depends on today's date, so the same settings would give other "
            "records tomorrow; give it a beginning and an end, as in date_between with start_date and end_date"
        )
    if drawn[0] != drawn[1]:
        raise UnusableField(
            f"field {field.name}: {field.provider} does not give the same values again for the same seed"
        )
    if (size := max(map(len, drawn[0]))) > MAX_RECORD:
        raise UnusableField(
            f"field {field.name}: {field.provider} gives {size} bytes; a record has at most {MAX_RECORD}"
        )


def _check_arguments(field: Field, method: Provider) -> None:
    parameters = inspect.signature(method).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in field.arguments:
        if name not in parameters:
            hint = suggest(name, parameters) or f"it takes {', '.join(parameters) or 'nothing'}"
            raise UnusableField(f"field {field.name}: {field.provider} does not take {name!r}; {hint}")


class _ClockWatch:
    """Detects whether a provider reads the clock: its values would then depend on the day and not on the settings.

    A profile function sees every call of a C function, so no provider can read the clock unseen.
    """

    def __init__(self) -> None:
        self.was_clock_read = False

    def __enter__(self) -> Self:
        self._previous = sys.getprofile()
        sys.setprofile(self._check_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._previous)

    def _check_call(self, frame: FrameType, event: str, called: Any) -> None:
        # Faker determines the local time zone this way and does not use the time itself.
        if event == "c_call" and called in _CLOCK_FUNCTIONS and frame.f_code.co_name != "_get_local_timezone":
            self.was_clock_read = True
