"""Sentences about the numbers of an external feed: where they contradict the settings, and what they cannot prove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from services.collector import formatting
from services.collector.results.client_result import ClientResult, Contradiction, Unheard
from services.collector.verdict import checks_reading
from services.collector.verdict.check_types import CheckInput
from services.contract.sequence_tracker import FIRSTS

USUAL = 3
"""Duplicates are usual from this part of all messages on: then they may be no fault but several sequences."""
SHOWN = 3
"""Most contradictions of one client that are shown."""


def contradictions(case: CheckInput) -> list[str]:
    """Return a sentence for each contradiction of numbers and settings; then no count proves anything."""
    return [
        f"{client.client}: {_contradiction(client, found)}"
        for client in case.clients
        for found in client.external.contradictions[:SHOWN]
    ]


def _contradiction(client: ClientResult, found: Contradiction) -> str:
    of = _of(found.key)
    if found.kind == "key":
        return checks_reading.unfound_key(client, found.text)
    if found.kind in ("first", "previous"):
        return f"FEED_{found.kind.upper()}={found.text}: no record with a number has a value there"
    if found.kind in ("many keys", "unique keys"):
        return _keys(found, client)
    if (sentence := _SENTENCES.get(found.kind)) is not None:
        return sentence(found, of)
    why = {
        "links": f"most records{of} do not join the one before; is the path that of the number before?",
        "scope": f"but one number{of} stands for different records on different connections: set"
        " FEED_SCOPE=connection, or auto",
        "wrap": f"but it has the number {formatting.ranges([(number, number) for number in found.numbers])}{of}",
    }
    return f"{found.text}: {why[found.kind]}"


def _mixed(found: Contradiction, of: str) -> str:
    example = f" ({', '.join(map(formatting.number, found.numbers))})" if found.numbers else ""
    if found.text:
        return (
            f"its numbers{of} come again with other records{example}: set FEED_KEY if they are of several sequences,"
            f" {_NO_RECORDS}"
        )
    # A sign of life has such a number more often than a sequence.
    others = f", or {_NO_RECORDS}" if any(number in FIRSTS for number in found.numbers) else ""
    return f"its numbers{of} are of several sequences{example}: set FEED_KEY to what tells these apart{others}"


_NO_RECORDS = "FEED_IGNORE if some of the messages are no records"


def _steps(found: Contradiction, of: str) -> str:
    step, *numbers = found.numbers
    example = f" (after {numbers[0]:,} comes {numbers[1]:,})" if numbers else ""
    if found.text:
        return f"{found.text}: but the numbers{of} do not rise by that{example}"
    proposal = f"most rise by {step:,}: set FEED_STEP={step}" if step > 1 else _PROPOSALS
    return f"the numbers{of} do not rise by one{example}: {proposal}"


def _keys(found: Contradiction, client: ClientResult) -> str:
    path = client.external.feed.key if client.external.feed is not None else None
    setting = f"FEED_KEY={path}" if path else "FEED_KEY"
    if found.kind == "many keys":
        return f"{setting} has more than {found.numbers[0]:,} values, and no more sequences are followed"
    keys, messages = found.numbers
    return (
        f"{setting} has {keys:,} values in {formatting.several(messages, 'message')}, so hardly any number follows"
        " another: nothing shows whether records are missing"
    )


def _falls(found: Contradiction, of: str) -> str:
    example = f" (after {found.numbers[0]:,} comes {found.numbers[1]:,})" if found.numbers else ""
    return f"most numbers{of} fall below an earlier one{example}: is FEED_SEQ the path of a number that rises?"


def _restarts(found: Contradiction, of: str) -> str:
    after = formatting.several(found.numbers[0], "message")
    return f"the numbers{of} begin again after {after}, again and again: is FEED_SEQ the path of a number that rises?"


_SENTENCES: Mapping[str, Callable[[Contradiction, str], str]] = {
    "mixed": _mixed,
    "steps": _steps,
    "falls": _falls,
    "restarts": _restarts,
}
_PROPOSALS = (
    "set FEED_FIRST if each record covers a range of numbers, FEED_PREVIOUS if it names the number before, or FEED_KEY"
    " if there are several sequences; without FEED_SEQ completeness is not checked"
)


def unproved(case: CheckInput) -> tuple[str, ...]:
    """Return a sentence for each question that the numbers of a client leave open."""
    return tuple(f"{client.client}: {sentence}" for client in case.clients for sentence in _unproved(client))


_NOT_COMPARED = "with FEED_SCOPE=connection clients are not compared"
_OPEN_NUMBERS = {
    "jumps": "{numbers}{of} were passed over faster than the feed's rate explains, and the clients did not receive most"
    " of them: whether they were sent is not known; FEED_SCOPE=stream counts them as missing",
    "uncertain_beginnings": "its connection seems to be numbered for itself, and {numbers}{of} did not come: whether"
    " they were sent is not known; FEED_SCOPE=connection counts them as missing",
    "beside_wraps": "its numbers{of} fell back without {numbers}, as those of a counter that begins again with 0, or of"
    " a feed that was restarted: whether these were sent is not known; FEED_WRAP says which number is the highest",
    "uncertain_ends": "its numbers{of} began again without {numbers}, which others received: whether these were lost is"
    f" not known; {_NOT_COMPARED}",
}
"""Sentences about numbers of which it is not known whether they are missing, by the field of the client's facts."""


_BEGUN_LATER = (
    "its numbers{of} began after {numbers} once, and elsewhere with the first of these: whether they were sent is not"
    " known"
)


def _unproved(client: ClientResult) -> Iterator[str]:
    facts = client.external
    for name, sentence in _OPEN_NUMBERS.items():
        for key, numbers in getattr(facts, name).items():
            if numbers:
                is_apart = name == "uncertain_beginnings" and (client.restarts or facts.rules.scope == "connection")
                chosen = _BEGUN_LATER if is_apart else sentence
                yield chosen.format(numbers=formatting.ranges(numbers), of=_of(key))
    for key, others in facts.unheard.items():
        yield _unheard(key, others)
    if facts.silent_keys:
        keys = formatting.names(formatting.sequence(key or "") for key in facts.silent_keys)
        yield (
            f"no record of {keys} came since it reconnected: whether the feed still has any, or was not asked for them,"
            " is not known"
        )
    if facts.unlinked:
        yield (
            f"{formatting.several(facts.unlinked, 'record')} in mid-connection named no number before: whether records"
            " were sent before is not known"
        )
    elif facts.restarts_elsewhere:
        yield (
            f"its numbers began again in mid-connection {_times(facts.restarts_elsewhere)}, at another number than"
            " before: whether records were lost there is not known"
        )
    if facts.doubtful_wraps:
        yield (
            f"its numbers went on with 1 after their highest, {_times(facts.doubtful_wraps)}: whether 0 is missing is"
            " not known; set FEED_WRAP"
        )


def _of(key: str | None) -> str:
    return "" if key is None else f" of {formatting.sequence(key)}"


def _unheard(key: str | None, unheard: Unheard) -> str:
    of, others = _of(key), formatting.names(unheard.others)
    if unheard.behind_us is None:
        why = f"though {others} did while it was there: whether it should have is not known; {_NOT_COMPARED}"
        return f"it received no record{of}, {why}"
    behind = formatting.duration(unheard.behind_us * 1000)
    return (
        f"it received no record{of} in the last {behind} in which {others} did, and numbers that begin again are not"
        " compared: whether records are missing is not known"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def repeats_hint(client: ClientResult) -> str:
    """Return the clause about duplicates after a reconnect, of other records, or of most numbers; else empty."""
    repeated, differing = client.external.repeated, client.external.differing
    if differing > 1 and differing == client.duplicates:
        return f", with other records than before: set {_NO_RECORDS}"
    if not repeated or client.external.rules.repeats == "reconnect":
        return _several_hint(client)
    which = "all" if repeated == client.duplicates else f"{repeated:,}"
    return f", {which} right after reconnecting: FEED_REPEATS=reconnect allows these"


def _several_hint(client: ClientResult) -> str:
    """Return the clause about numbers that mostly come several times; empty if they do not."""
    # A key beside the record is not in it, so the same record may be one of several sequences.
    is_usual = (client.duplicates or 0) * USUAL >= client.messages
    if client.external.feed is None or not is_usual:
        return ""
    return ", since most numbers come several times: FEED_KEY tells several sequences apart"


def allowed_repeats(case: CheckInput) -> str:
    """Return the clause about messages that came again after a reconnect, as `FEED_REPEATS` allows; empty for none."""
    repeated = sum(client.external.allowed_repeats or 0 for client in case.clients)
    if not repeated:
        return ""
    return f"; {formatting.several(repeated, 'message')} again after reconnecting, as FEED_REPEATS allows"
