"""Which messages resume a feed after a reconnect: those with a key for every key named or heard, others once. Pure.

A key of which nothing was received has no number to resume from. It is subscribed again as FEED_HELLO did: otherwise a
channel that was quiet before a cut would never be heard again, and no number would show it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Any

from services.client.external.greeting import FileStep, Greeting, Planned, Say, Step
from services.client.external.templates import MessageTemplate, Value

# Characters for private use, which are in no message.
_KEY = "\ue000\ue001\ue002"
_ANY_NUMBER = 8_070_605_040_302_010
_POSITION = frozenset({"seq", "next"})


def resumption(resume: Greeting, hello: Greeting, client: str, last: Iterable[tuple[str | None, int]]) -> list[Planned]:
    """Return the steps that resume a feed after a reconnect.

    Steps that name ``{key}`` are planned once for every key, all other steps once.

    Args:
        resume: with ``{seq}``, ``{next}`` and ``{key}``.
        hello: the steps of the first connection, which name the keys.
        client: name of the client.
        last: key and last number of each sequence.
    """
    ends = [(key or "", position(seq)) for key, seq in last]
    heard = {key for key, _ in ends}
    newest = max((end for _, end in ends), key=lambda end: end["seq"] or 0, default=position(0))
    keyed = [step for step in resume.steps if _names_key(step)]
    planned: list[Planned] = []
    unheard = _unheard(hello.templates, keyed, heard, client)
    for is_keyed, group in groupby(resume.steps, key=_names_key):
        steps = Greeting(tuple(step for step in group if not isinstance(step, FileStep)))
        if not is_keyed:
            planned += steps.planned({"client": client, **newest})
            continue
        for key, end in ends:
            planned += steps.planned({"client": client, "key": key, **end})
        if steps.names & _POSITION:
            planned += [Say(template, {"client": client}) for template in unheard]
        else:
            for key in sorted({key for keys in unheard.values() for key in keys} - heard):
                planned += steps.planned({"client": client, "key": key})
        unheard = {}
    return planned


def position(last: int | None) -> dict[str, int | None]:
    """Return the values of ``{seq}`` and ``{next}``, None when no number is known."""
    # Some feeds expect the last number received, others the next number wanted.
    return {"seq": last, "next": None if last is None else last + 1}


def _names_key(step: Step) -> bool:
    return isinstance(step, MessageTemplate) and "key" in step.names


def _unheard(
    hello: Sequence[MessageTemplate], keyed: Sequence[Step], heard: Collection[str], client: str
) -> dict[MessageTemplate, set[str]]:
    """Return the messages of the greeting that name a key of which nothing was heard, each with its keys."""
    resuming = [step for step in keyed if isinstance(step, MessageTemplate)]
    for is_exact in (True, False):
        # Messages that subscribe as the resuming ones do; only if there are none, other messages of the same shape.
        found = {
            said: {key for template in resuming for key in keys_named(said, template, client, is_exact=is_exact)}
            for said in hello
        }
        if any(found.values()):
            return {said: keys for said, keys in found.items() if keys - set(heard)}
    return {}


def keys_named(said: MessageTemplate, template: MessageTemplate, client: str, *, is_exact: bool = True) -> set[str]:
    """Return the keys that a message names at the places where a template has ``{key}``.

    Args:
        said: the message.
        template: of the message that names one key.
        client: name of the client.
        is_exact: whether all other values that both have must be equal.
    """
    values: dict[str, Value] = {"client": client, "key": _KEY, "seq": _ANY_NUMBER, "next": _ANY_NUMBER}
    try:
        wanted = json.loads(template.message(values))
        found = json.loads(said.message({"client": client}))
    except ValueError:
        return _keys_in_text(said.line, template.line)
    return _keys_at(wanted, found, is_exact) or set()


def _keys_at(wanted: Any, found: Any, is_exact: bool) -> set[str] | None:
    """Return the keys at the places of ``{key}``, None where the two values differ."""
    if isinstance(wanted, str) and _KEY in wanted:
        before, _, after = wanted.partition(_KEY)
        # A key that is named twice in one text is equal in both places.
        whole = re.fullmatch(re.escape(before) + "(.+)" + re.escape(after).replace(_KEY, r"\1"), str(found), re.DOTALL)
        return {whole[1]} if whole and isinstance(found, str) else None
    if isinstance(wanted, dict) and isinstance(found, dict):
        pairs = [(value, found[name]) for name, value in wanted.items() if name in found]
        has_all = all(name in found for name, value in wanted.items() if _has_key(value))
        return _union([_keys_at(*pair, is_exact) for pair in pairs]) if has_all else None
    if isinstance(wanted, list) and isinstance(found, list):
        if wanted and all(map(_has_key, wanted)):
            # A list of channels: the operator's may be longer than the template's.
            each = [keys for value in wanted for one in found if (keys := _keys_at(value, one, is_exact)) is not None]
            return set().union(*each) if each else None
        return _union([_keys_at(*pair, is_exact) for pair in zip(wanted, found, strict=False)])
    return set() if wanted in (found, _ANY_NUMBER, str(_ANY_NUMBER)) or not is_exact else None


def _union(parts: list[set[str] | None]) -> set[str] | None:
    known = [part for part in parts if part is not None]
    return set().union(*known) if len(known) == len(parts) else None


def _has_key(value: Any) -> bool:
    return _KEY in json.dumps(value, ensure_ascii=False)


def _keys_in_text(said: str, template: str) -> set[str]:
    """Return the key in a message that is no JSON: what stands after the same beginning, up to the next separator."""
    before, _, after = template.partition("{key}")
    end = re.escape(after[:1]) if after[:1] not in ("", "{") else r"\s"
    match = re.match(re.escape(before) + rf"(.+?)(?={end}|\s|\\|$)", said)
    return {match[1]} if match else set()
