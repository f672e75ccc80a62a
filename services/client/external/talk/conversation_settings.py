"""The settings of what a client says to an external server: greeting, resumption, heartbeat, and its subprotocols."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from services.client.external.talk.client_heartbeat import BeatInterval, ClientHeartbeat
from services.client.external.talk.greeting import NOTHING, FileStep, Greeting
from services.client.external.talk.named_keys import NAMES
from services.client.external.templates import Template

Value = TypeVar("Value")

_SUBPROTOCOL = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class ConversationSettings:
    """What a client says to the server of an external feed.

    Attributes:
        login: steps that come first on every connection.
        hello: steps after them on the first connection.
        resume: steps instead of ``hello`` after a reconnect, if there is something to resume from.
        heartbeat: messages at regular times, None for none.
    """

    login: Greeting = NOTHING
    hello: Greeting = NOTHING
    resume: Greeting = NOTHING
    heartbeat: ClientHeartbeat | None = None

    @property
    def captures(self) -> frozenset[str]:
        """The names of the values that steps take from messages."""
        return self.login.captures | self.hello.captures | self.resume.captures

    @property
    def texts(self) -> list[str]:
        """All messages, which may contain secrets."""
        beats = self.heartbeat.template.lines if self.heartbeat is not None else ()
        steps = (*self.login.templates, *self.hello.templates, *self.resume.templates)
        return [*(template.line for template in steps), *beats]


def read_conversation(values: Mapping[str, Any]) -> tuple[ConversationSettings, list[str]]:
    """Parse these settings; return them with all problems that were found.

    Args:
        values: of all FEED_ settings, by lower-case name.
    """
    problems: list[str] = []

    def parsed(name: str, parse: Callable[[str], Value], default: Value) -> Value:
        given = values[name.lower()]
        try:
            return parse(given) if given else default
        except ValueError as problem:
            # Without the text: it may have a login in it.
            problems.append(f"{name}: {problem}")
            return default

    hello, resume = parsed("FEED_HELLO", Greeting.of, NOTHING), parsed("FEED_RESUME", Greeting.of, NOTHING)
    path = values["feed_hello_file"]
    login = Greeting((FileStep(path, "FEED_HELLO_FILE"),)) if path else NOTHING
    interval = parsed("FEED_HEARTBEAT_SECONDS", _interval, BeatInterval())
    beats = Template.of(values["feed_heartbeat"])
    found = ConversationSettings(login, hello, resume, ClientHeartbeat(beats, interval) if beats.lines else None)
    return found, problems + _contradictions(found, values)


def subprotocols(text: str) -> tuple[str, ...]:
    """Return the names of subprotocols in a text.

    Raises:
        ValueError: with the position of the name that is none, but not the name, which may be a token.
    """
    names = tuple(name.strip() for name in text.split(","))
    for number, name in enumerate(names, 1):
        if not _SUBPROTOCOL.fullmatch(name):
            raise ValueError(f"expected names separated by commas, without spaces or quotes; number {number} is none")
        if name in names[: number - 1]:
            raise ValueError(f"number {number} is there twice")
    return names


def _interval(text: str) -> BeatInterval:
    try:
        return BeatInterval.of(text)
    except ValueError as problem:
        raise ValueError(f"expected {problem}") from problem


def _contradictions(found: ConversationSettings, values: Mapping[str, Any]) -> list[str]:
    problems = []
    if not values["feed_seq"]:
        beats = found.heartbeat.template.names if found.heartbeat is not None else frozenset()
        for name in ("seq", "next"):
            if name in found.resume.names:
                problems.append(f"FEED_RESUME: without FEED_SEQ there is no {{{name}}} to resume from")
            if name in beats:
                problems.append(f"FEED_HEARTBEAT: without FEED_SEQ there is no {{{name}}}")
    keys = sorted(NAMES & found.resume.names)
    if keys and not values["feed_key"]:
        problems.append(f"FEED_RESUME: without FEED_KEY there is no {{{keys[0]}}}")
    if values["feed_heartbeat_seconds"] and found.heartbeat is None:
        problems.append("FEED_HEARTBEAT_SECONDS: without FEED_HEARTBEAT nothing is sent")
    if values["feed_commands"] != "yes" and (found.hello.has_commands or found.resume.has_commands):
        problems.append("FEED_COMMANDS: the greeting runs a command; FEED_COMMANDS=yes permits that")
    return problems
