"""Which messages resume a feed after a reconnect: those with a key for every key named or heard, others once. Pure.

A key without any received record has no number to resume from. It is subscribed again as FEED_HELLO did: otherwise a
channel that was quiet before a cut would never be heard again, and no number would show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from services.client.external.talk.greeting import FileStep, Greeting, Planned, Say, Step
from services.client.external.talk.named_keys import NAMES, keys_named, values_of, without_position
from services.client.external.templates import MessageTemplate

_POSITION = frozenset({"seq", "next"})


def resumption(resume: Greeting, hello: Greeting, client: str, last: Iterable[tuple[str | None, int]]) -> list[Planned]:
    """Return the steps that resume a feed after a reconnect.

    Messages that name ``{key}`` are planned once for every key, all other steps once.

    Args:
        resume: with ``{seq}``, ``{next}`` and ``{key}``.
        hello: the steps of the first connection, which name the keys.
        client: name of the client.
        last: key and last number of each sequence.
    """
    ends = [(key or "", position(seq)) for key, seq in last]
    newest = max((end for _, end in ends), key=lambda end: end["seq"] or 0, default=position(0))
    planned: list[Planned] = []
    is_first = True
    for is_keyed, group in groupby(resume.steps, key=_names_key):
        steps = [step for step in group if not isinstance(step, FileStep)]
        if not is_keyed:
            planned += Greeting(tuple(steps)).planned({"client": client, **newest})
            continue
        templates = [step for step in steps if isinstance(step, MessageTemplate)]
        for key, end in ends:
            planned += [Say(template, {"client": client, **values_of(key), **end}) for template in templates]
        if is_first:
            planned += _unheard(hello.templates, templates, {key for key, _ in ends}, client)
        is_first = False
    return planned


def position(last: int | None) -> dict[str, int | None]:
    """Return the values of ``{seq}`` and ``{next}``, None when no number is known."""
    # Some feeds expect the last number received, others the next number wanted.
    return {"seq": last, "next": None if last is None else last + 1}


def _names_key(step: Step) -> bool:
    return isinstance(step, MessageTemplate) and bool(NAMES & step.names)


def _unheard(
    hello: Sequence[MessageTemplate], resuming: Sequence[MessageTemplate], heard: Collection[str], client: str
) -> list[Planned]:
    """Return the messages that subscribe those keys of the greeting without any received record."""
    named = _named(hello, resuming, client)
    # Without the number to resume from, where a message can do without it.
    bare = [template if not template.names & _POSITION else without_position(template) for template in resuming]
    unnumbered = [template for template in bare if template is not None]
    planned: list[Planned] = []
    for said, keys in named.items():
        if not keys - set(heard):
            continue
        is_numbered = any(template.names & _POSITION for template in resuming)
        if len(unnumbered) == len(resuming) and (keys & set(heard) or not is_numbered):
            # The message names other keys too, which are resumed where they were left.
            planned += [
                Say(template, {"client": client, **values_of(key)})
                for key in sorted(keys - set(heard))
                for template in unnumbered
            ]
        else:
            planned.append(Say(said, {"client": client}))
    return planned


def _named(
    hello: Sequence[MessageTemplate], resuming: Sequence[MessageTemplate], client: str
) -> dict[MessageTemplate, set[str]]:
    """Return the keys that each message of the greeting names."""
    for is_exact in (True, False):
        # Messages that subscribe as the resuming ones do; only if there are none, other messages of the same shape.
        found = {
            said: {key for template in resuming for key in keys_named(said, template, client, is_exact=is_exact)}
            for said in hello
        }
        if any(found.values()):
            return found
    return {}
