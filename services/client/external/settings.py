"""The settings of an external feed: its address, how its messages are decoded, the messages to its server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from services.client.external.decoder import RecordPaths
from services.client.external.feed_end import NEVER, EndConditions
from services.client.external.frame_encoding import NAMES as ENCODINGS
from services.client.external.frame_encoding import STREAM
from services.client.external.frame_reader import PLAIN as ONE_A_FRAME
from services.client.external.frame_reader import FrameReader, Framing
from services.client.external.message_framing import ONE_MESSAGE, MessageFraming
from services.client.external.profiles import profile
from services.client.external.record_values import UNITS, UTC
from services.client.external.talk.conversation_settings import ConversationSettings, read_conversation, subprotocols
from services.client.external.templates import PingPolicy
from services.contract.feed_description import FeedDescription
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
        subprotocols: WebSocket subprotocols to request; some gateways take a token in place of one.
        max_bytes: size of the longest message that is accepted.
        connects_per_second: limit on the attempts of this process.
        authorization_file: file with the value of the header, read for every connection since it may be renewed.
        ca_file: certificates to trust beside the system's, empty for none.
        proxy: address of a proxy, empty for none.
        headers_file: file with further headers, read for every connection, empty for none.
        origin: the Origin header, empty for none.
    """

    url: str
    subprotocols: tuple[str, ...]
    max_bytes: int
    connects_per_second: float
    authorization_file: str
    ca_file: str
    proxy: str
    headers_file: str
    origin: str

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
        conversation: what the client says to the server.
        seconds: duration of a run, 0 for until stopped.
        ending: conditions by which the feed has ended.
        silence_s: longest time without a record that is no fault, in seconds; None to derive it from the feed's rhythm.
        clients: how many clients take part in the run, None if the operator does not say.
        framing: how the messages are contained in the frames.
        precision: the unit to which the sender cuts its time, None if the operator does not say.
        sequence: how its numbers are read.
        given: the texts of the settings, from environment and profile, by the name of their variable.
    """

    reach: ConnectSettings
    reading: RecordPaths
    pings: PingPolicy
    conversation: ConversationSettings
    seconds: float
    ending: EndConditions = NEVER
    silence_s: float | None = None
    clients: int | None = None
    framing: Framing = ONE_A_FRAME
    precision: Literal["s", "ms", "us"] | None = None
    sequence: SequenceRules = PLAIN
    given: Mapping[str, str] = field(default_factory=dict)

    def frame_reader(self) -> FrameReader:
        """Return a reader of the frames of a new connection."""
        return FrameReader(self.framing, self.reading, self.pings, self.ending)

    @property
    def feed(self) -> FeedDescription:
        """The feed as the block log describes it."""
        reading = self.reading
        return FeedDescription(
            url=self.reach.shown,
            seq=reading.seq.text if reading.seq else None,
            time=reading.time.text if reading.time else None,
            key=",".join(path.text for path in reading.key) or None,
            records=reading.records.text if reading.records else None,
            match=reading.match.pattern.decode() if reading.match else None,
            silence_s=self.silence_s,
            end=self.ending.text or None,
            clients=self.clients,
            precision=self.precision or msgspec.UNSET,
            encoding=",".join(self.framing.encodings) or msgspec.UNSET,
            split=self.framing.messages.text or msgspec.UNSET,
            message_list="record" if reading.list_is_record else msgspec.UNSET,
            sequence=msgspec.UNSET if self.sequence == PLAIN else self.sequence,
        )


def read_feed(environment: Mapping[str, str]) -> FeedSettings | None:
    """Return the settings of an external feed, from environment and profile; None when the environment describes none.

    Raises:
        BadSettings: with every problem found.
    """
    if not is_external_feed(environment):
        _refuse_unused(environment)
        return None
    described = profile.describe(environment)
    try:
        return _read_described(described.environment)
    except BadSettings as error:
        raise BadSettings([described.located(problem) for problem in error.problems]) from error


def _read_described(environment: Mapping[str, str]) -> FeedSettings:
    values = read(environment, ("SERVER_URL", "CLIENTS", *NAMES))
    parsed, problems = _parse(values)
    conversation, talk_problems = read_conversation(values)
    reach, reach_problems = _reach(values)
    problems += [*talk_problems, *reach_problems, *_contradictions(values), *_end_contradictions(parsed.ending, values)]
    if problems:
        raise BadSettings(problems)
    return FeedSettings(
        reach=reach,
        reading=parsed.reading,
        pings=parsed.pings,
        conversation=conversation,
        seconds=values["feed_seconds"],
        ending=parsed.ending,
        silence_s=values["feed_silence"],
        clients=values["clients"] or None,
        framing=parsed.framing,
        precision=values["feed_precision"] or None,
        sequence=_sequence(values, parsed.reading),
        given=environment,
    )


class _Parsed(NamedTuple):
    """The settings that have a syntax of their own."""

    reading: RecordPaths
    pings: PingPolicy
    ending: EndConditions
    framing: Framing


def _parse(values: Mapping[str, Any]) -> tuple[_Parsed, list[str]]:
    """Parse these settings; return them with all problems that were found."""
    problems: list[str] = []

    def parsed(name: str, parse: Callable[[str], Value]) -> Value | None:
        text = values[name.lower()]
        try:
            return parse(text) if text else None
        except (ValueError, re.error) as problem:
            problems.append(BY_NAME[name].mistake(text, problem))
            return None

    time = parsed("FEED_TIME", _time)
    reading = RecordPaths(
        seq=parsed("FEED_SEQ", JsonPath),
        first=parsed("FEED_FIRST", JsonPath),
        previous=parsed("FEED_PREVIOUS", JsonPath),
        time=time[0] if time else None,
        unit=time[1] if time else None,
        key=parsed("FEED_KEY", JsonPath.several) or (),
        records=parsed("FEED_RECORDS", JsonPath),
        match=parsed("FEED_MATCH", _with_group),
        list_is_record=values["feed_list"] == "record",
    )
    encodings = parsed("FEED_ENCODING", _encodings) or ()
    framing = Framing(encodings, parsed("FEED_SPLIT", MessageFraming.of) or ONE_MESSAGE, values["feed_max_bytes"])
    pings = PingPolicy(parsed("FEED_PING", _pattern), values["feed_pong"], parsed("FEED_IGNORE", _pattern))
    return _Parsed(reading, pings, parsed("FEED_END", EndConditions.of) or NEVER, framing), problems


def _refuse_unused(environment: Mapping[str, str]) -> None:
    # With FEED=streamgauge: the other settings would be ignored, which the operator does not expect.
    given = [name for name in NAMES[1:] if environment.get(name, "").strip()]
    if given:
        raise BadSettings([f"FEED=streamgauge: {', '.join(given)} are for an external feed"])


def _reach(values: Mapping[str, Any]) -> tuple[ConnectSettings, list[str]]:
    problems: list[str] = []
    offered: tuple[str, ...] = ()
    try:
        offered = subprotocols(values["feed_subprotocol"]) if values["feed_subprotocol"] else ()
    except ValueError as problem:
        # Without the text: a token may be in it.
        problems.append(f"FEED_SUBPROTOCOL: {problem}")
    found = ConnectSettings(
        url=values["server_url"],
        subprotocols=offered,
        max_bytes=values["feed_max_bytes"],
        connects_per_second=values["feed_connects"],
        authorization_file=values["feed_authorization_file"],
        ca_file=values["feed_ca_file"],
        proxy=values["feed_proxy"],
        headers_file=values["feed_headers_file"],
        origin=values["feed_origin"],
    )
    return found, problems


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
        # Without numbers the contents of the records are compared, unless each connection has records of its own.
        given = [name for name in given if (name, values["feed_scope"]) != ("FEED_SCOPE", "connection")]
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
    if values["feed_list"] == "record" and values["feed_records"]:
        problems.append("FEED_LIST=record: with FEED_RECORDS a message has a list of records, and is not one")
    if values["feed_precision"] and not values["feed_time"]:
        problems.append("FEED_PRECISION: without FEED_TIME there is no time that it describes")
    if values["feed_key"] and not values["feed_seq"]:
        problems.append("FEED_KEY: without FEED_SEQ there is no sequence for it to tell apart")
    return problems


def _end_contradictions(ending: EndConditions, values: Mapping[str, Any]) -> list[str]:
    if ending.last is None:
        return []
    if not values["feed_seq"]:
        return ["FEED_END: without FEED_SEQ there is no last number"]
    if values["feed_key"]:
        return ["FEED_END: with FEED_KEY there are several sequences, and none of them has the last number"]
    return []


def _time(text: str) -> tuple[JsonPath, str | None]:
    path, _, unit = text.partition(" ") if " " in text and not text.endswith("]") else (text, "", "")
    unit = unit.strip()
    if unit and unit not in (*UNITS, UTC):
        raise ValueError(f"a path and perhaps a unit ({', '.join(UNITS)}), like $.ts ms, or {UTC} for texts in UTC")
    return JsonPath(path), unit or None


def _encodings(text: str) -> tuple[str, ...]:
    names = tuple(re.split(r"[\s,]+", text))
    unknown = [name for name in names if name not in ENCODINGS]
    if unknown:
        raise ValueError(f"a list of {', '.join(ENCODINGS)}; not {unknown[0]!r}")
    # The other one could not know where in its data a message ends.
    if STREAM in names[1:]:
        raise ValueError(f"{STREAM} as the first encoding that is undone")
    return names


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
