"""The settings of an external feed: its address, how its messages are decoded, and the messages to its server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from services.client.external.decoder import RecordPaths
from services.client.external.feed_end import NEVER, EndConditions
from services.client.external.record_values import UNITS
from services.client.external.templates import PingPolicy, Template
from services.contract.blocklog import FeedDescription
from services.contract.json_path import JsonPath
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.runtime.errors import BadSettings
from services.runtime.settings import BY_NAME, EXTERNAL, is_external_feed, read

NAMES = tuple(setting.name for setting in EXTERNAL)

Value = TypeVar("Value")


@dataclass(frozen=True)
class ConnectSettings:
    """How to connect to the feed's server.

    Attributes:
        url: address of the server, secrets included.
        subprotocol: WebSocket subprotocol to request, empty for none.
        max_bytes: size of the longest message that is accepted.
        connects_per_second: limit on the attempts of this process.
        authorization_file: file with the value of the header, read for every connection since it may be renewed.
        ca_file: certificates to trust beside the system's, empty for none.
        proxy: address of a proxy, empty for none.
    """

    url: str
    subprotocol: str
    max_bytes: int
    connects_per_second: float
    authorization_file: str
    ca_file: str
    proxy: str

    @property
    def shown(self) -> str:
        """The address as logs may show it: without password and query, which often contain a token."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))


@dataclass(frozen=True)
class FeedSettings:
    """The operator's description of an external feed.

    Attributes:
        reach: how to connect.
        reading: where a message has its records, and a record its values.
        pings: how the feed's own pings are answered, and which frames are ignored.
        hello: messages to send after connecting.
        resume: messages to send instead after reconnecting, if there is something to resume from.
        seconds: duration of a run, 0 for until stopped.
        ending: conditions by which the feed has ended.
        silence_s: longest time without a record that is no fault, in seconds; None to derive it from the feed's rhythm.
        clients: how many clients take part in the run, None if the operator does not say.
        sequence: how its numbers are read.
    """

    reach: ConnectSettings
    reading: RecordPaths
    pings: PingPolicy
    hello: Template
    resume: Template
    seconds: float
    ending: EndConditions = NEVER
    silence_s: float | None = None
    clients: int | None = None
    sequence: SequenceRules = PLAIN

    @property
    def feed(self) -> FeedDescription:
        """The feed as the block log describes it."""
        reading = self.reading
        return FeedDescription(
            url=self.reach.shown,
            seq=reading.seq.text if reading.seq else None,
            time=reading.time.text if reading.time else None,
            key=reading.key.text if reading.key else None,
            records=reading.records.text if reading.records else None,
            match=reading.match.pattern.decode() if reading.match else None,
            silence_s=self.silence_s,
            end=self.ending.text or None,
            clients=self.clients,
            sequence=msgspec.UNSET if self.sequence == PLAIN else self.sequence,
        )


def read_feed(environment: Mapping[str, str]) -> FeedSettings | None:
    """Return the settings of an external feed, None when the environment describes none.

    Raises:
        BadSettings: with every problem found.
    """
    if not is_external_feed(environment):
        _refuse_unused(environment)
        return None
    values = read(environment, ("SERVER_URL", "CLIENTS", *NAMES))
    parsed, problems = _parse(values)
    problems += [*_contradictions(values), *_unending(parsed.ending, values)]
    if problems:
        raise BadSettings(problems)
    return FeedSettings(
        reach=_reach(values),
        reading=parsed.reading,
        pings=parsed.pings,
        hello=Template.of(values["feed_hello"]),
        resume=Template.of(values["feed_resume"]),
        seconds=values["feed_seconds"],
        ending=parsed.ending,
        silence_s=values["feed_silence"],
        clients=values["clients"] or None,
        sequence=_sequence(values, parsed.reading),
    )


class _Parsed(NamedTuple):
    """The settings that have a syntax of their own."""

    reading: RecordPaths
    pings: PingPolicy
    ending: EndConditions


def _parse(values: Mapping[str, Any]) -> tuple[_Parsed, list[str]]:
    """Parse these settings; return them with all problems that were found."""
    problems: list[str] = []

    def parsed(name: str, parse: Callable[[str], Value]) -> Value | None:
        text = values[name.lower()]
        try:
            return parse(text) if text else None
        except (ValueError, re.error) as problem:
            problems.append(f"{name}={text!r}: expected {problem}")
            return None

    time = parsed("FEED_TIME", _time)
    reading = RecordPaths(
        seq=parsed("FEED_SEQ", JsonPath),
        first=parsed("FEED_FIRST", JsonPath),
        previous=parsed("FEED_PREVIOUS", JsonPath),
        time=time[0] if time else None,
        unit=time[1] if time else None,
        key=parsed("FEED_KEY", JsonPath),
        records=parsed("FEED_RECORDS", JsonPath),
        match=parsed("FEED_MATCH", _with_group),
    )
    pings = PingPolicy(parsed("FEED_PING", _pattern), values["feed_pong"], parsed("FEED_IGNORE", _pattern))
    return _Parsed(reading, pings, parsed("FEED_END", EndConditions.of) or NEVER), problems


def _refuse_unused(environment: Mapping[str, str]) -> None:
    # With FEED=streamgauge: the other settings would be ignored, which the operator does not expect.
    given = [name for name in NAMES[1:] if environment.get(name, "").strip()]
    if given:
        raise BadSettings([f"FEED=streamgauge: {', '.join(given)} are for an external feed"])


def _reach(values: Mapping[str, Any]) -> ConnectSettings:
    return ConnectSettings(
        url=values["server_url"],
        subprotocol=values["feed_subprotocol"],
        max_bytes=values["feed_max_bytes"],
        connects_per_second=values["feed_connects"],
        authorization_file=values["feed_authorization_file"],
        ca_file=values["feed_ca_file"],
        proxy=values["feed_proxy"],
    )


def _sequence(values: Mapping[str, Any], reading: RecordPaths) -> SequenceRules:
    return SequenceRules(
        first=reading.first.text if reading.first else None,
        previous=reading.previous.text if reading.previous else None,
        scope=values["feed_scope"],
        wrap=values["feed_wrap"],
        step=values["feed_step"],
        repeats=values["feed_repeats"],
    )


_OF_NUMBERS = ("FEED_FIRST", "FEED_PREVIOUS", "FEED_SCOPE", "FEED_WRAP", "FEED_STEP", "FEED_REPEATS")
"""Settings that say how the numbers at ``FEED_SEQ`` are read."""


def _number_contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = []
    if not values["feed_seq"]:
        given = [name for name in _OF_NUMBERS if str(values[name.lower()]) != BY_NAME[name].default]
        problems += [f"{name}: without FEED_SEQ there are no numbers that it describes" for name in given]
    forms = [name for name in ("FEED_FIRST", "FEED_PREVIOUS") if values[name.lower()]]
    forms += ["FEED_STEP"] if values["feed_step"] != 1 else []
    if len(forms) > 1:
        problems.append(
            f"{' and '.join(forms)}: each says how one number follows another, so only one of them can hold"
        )
    if values["feed_scope"] == "key" and not values["feed_key"]:
        problems.append("FEED_SCOPE=key: without FEED_KEY there is no key")
    if values["feed_wrap"] and values["feed_previous"]:
        problems.append("FEED_WRAP: with FEED_PREVIOUS the numbers need not rise, and each names the one before")
    return problems


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = _number_contradictions(values)
    if values["feed_pong"] and not values["feed_ping"]:
        problems.append("FEED_PONG: without FEED_PING nothing is answered with it")
    if values["feed_key"] and not values["feed_seq"]:
        problems.append("FEED_KEY: without FEED_SEQ there is no sequence for it to tell apart")
    if not values["feed_seq"]:
        named = [name for name in ("{seq}", "{next}") if name in values["feed_resume"]]
        problems += [f"FEED_RESUME: without FEED_SEQ there is no {name} to resume from" for name in named]
    if "{key}" in values["feed_resume"] and not values["feed_key"]:
        problems.append("FEED_RESUME: without FEED_KEY there is no {key}")
    return problems


def _unending(ending: EndConditions, values: Mapping[str, Any]) -> list[str]:
    if ending.last is None:
        return []
    if not values["feed_seq"]:
        return ["FEED_END: without FEED_SEQ there is no last number"]
    return ["FEED_END: with FEED_KEY there are several sequences, and none of them has the last number"] * bool(
        values["feed_key"]
    )


def _time(text: str) -> tuple[JsonPath, str | None]:
    path, _, unit = text.partition(" ") if " " in text and not text.endswith("]") else (text, "", "")
    unit = unit.strip()
    if unit and unit not in UNITS:
        raise ValueError(f"a path and perhaps a unit ({', '.join(UNITS)}), like $.ts ms")
    return JsonPath(path), unit or None


def _pattern(text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode(), re.DOTALL)
    except re.error as problem:
        raise ValueError(f"a regular expression: {problem}") from problem


def _with_group(text: str) -> re.Pattern[bytes]:
    pattern = _pattern(text)
    if pattern.groups != 1:
        raise ValueError(f"a regular expression with one group, the record; this has {pattern.groups}")
    return pattern
