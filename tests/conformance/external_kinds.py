"""Runs of external feeds of every kind that leaves a trace in a block log. In each there is one thing to notice."""

from __future__ import annotations

from typing import Any

from services.contract import blocklog
from services.contract.sequence_rules import SequenceRules
from tests.builders.scripted_runs import Files
from tests.conformance.external_log import ExternalLog, heard, moment_text, ticks

_OWN = SequenceRules(scope="connection")


def _steady(client: str = "client-1", **feed: Any) -> ExternalLog:
    """Return a log that begins with a connection."""
    return ExternalLog(client, **feed).event("opened", 0)


def feed_connected() -> Files:
    """The log has a line for each connection: one that was cut for 20 ms and lost nothing, and one to the end."""
    made = _steady().blocks(ticks(range(7, 10), 10)).event("closed", 35, 1006, "no close frame received")
    made.event("refused", 40, 503, "HTTP 503: try again").event("opened", 55).blocks(ticks(range(10, 13), 60))
    return made.event("sealed", 1000).end()


def feed_connections_unknown() -> Files:
    """The log has no line about a connection: for how long the client was connected is not known, so it is no pass."""
    return ExternalLog().blocks(ticks(range(1, 7), 10)).end()


def feed_contents_differ() -> Files:
    """Without numbers, two clients have the same records but one, which the second lacks: a doubt and no loss."""
    every = [heard(None, 10 * place, record={"price": 100 + place}) for place in range(1, 9)]
    logs = {"client-1": every, "client-2": [*every[:3], *every[4:]]}
    made: Files = {}
    for client, messages in logs.items():
        made |= _steady(client, seq=None).blocks(messages).event("sealed", 1000).end()
    return made


def feed_contents_bridge_a_reconnect() -> Files:
    """Without numbers, a client was away for 20 ms in which another one received nothing: nothing was missed."""
    every = [heard(None, 20 + 10 * place + 40 * (place > 4), record={"price": 100 + place}) for place in range(1, 9)]
    other = _steady("client-2", seq=None).blocks(every[:4]).event("closed", 70, 1006, "no close frame received")
    other.event("opened", 90).blocks(every[4:])
    files = _steady("client-1", seq=None).blocks(every).event("sealed", 1000).end()
    return {**files, **other.event("sealed", 1000).end()}


def feed_cut_off() -> Files:
    """The server is gone at 40 of 1000 ms: what came is complete, and the client was not connected at the end."""
    made = _steady().blocks(ticks(range(1, 4), 10)).event("closed", 40, 1001, "going away")
    made.event("refused", 200, None, "connection refused", attempts=1)
    made.event("refused", 600, None, "connection refused", attempts=2)
    return made.event("sealed", 1000, None, "connection refused", attempts=2).end()


def feed_fallen_silent() -> Files:
    """The connection stays open, and no record comes for 9.9 of 10 s: more than 5 s and three times any interval."""
    return _steady(until_ms=10_000).blocks(ticks(range(1, 7), 10)).event("sealed", 10_000).end()


def feed_silent_as_said() -> Files:
    """As long a silence, which `silence_s` (`FEED_SILENCE`) permits."""
    made = _steady(until_ms=10_000, silence_s=30).blocks(ticks(range(1, 7), 10))
    return made.event("sealed", 10_000).end()


def feed_ended_as_said() -> Files:
    """The feed closes with 1000, which `end` (`FEED_END`) describes: its end, and no absence."""
    made = _steady(end="close 1000").blocks(ticks(range(1, 7), 10))
    made.event("closed", 80, 1000, "done").event("ended", 80, 1000, "close 1000")
    return made.event("sealed", 80, 1000, "done").end()


def feed_refused() -> Files:
    """The server refused every attempt with HTTP 401: nothing was measured, and the headline has the reason."""
    made = ExternalLog()
    for attempt in (1, 2):
        made.event("refused", 100 * attempt, 401, "HTTP 401: token expired", attempts=attempt)
    return made.event("sealed", 1000, 401, "HTTP 401: token expired", attempts=2).end()


def feed_greeting_unanswered() -> Files:
    """The client's greeting was not answered, so it closed the connection with 1002, and was away at the end."""
    why = "the greeting is unanswered: nothing matched /connection_ack/ within 0.5 s"
    return _steady().event("closed", 500, 1002, why).event("sealed", 1000, 1002, why).end()


def feed_close_not_logged() -> Files:
    """The line of a close is missing: it is not known whether the client was connected, although the numbers go on."""
    made = _steady().blocks(ticks(range(1, 4), 10)).event("opened", 55).blocks(ticks(range(4, 7), 60))
    return made.event("sealed", 1000).end()


def feed_client_lost() -> Files:
    """The log of one of two clients has no `end` line: its process was killed, or its last lines are gone."""
    made: Files = {}
    for client in ("client-1", "client-2"):
        log = _steady(client).blocks(ticks(range(1, 7), 10))
        made |= log.event("sealed", 1000).end() if client == "client-1" else log.end(None)
    return made


def feed_client_never_came() -> Files:
    """The open line expects two clients (`CLIENTS`), and one of them logged nothing at all."""
    return _steady(clients=2).blocks(ticks(range(1, 7), 10)).event("sealed", 1000).end()


def feed_session_removed() -> Files:
    """There is a file of the second session and none of the first: its records are not known."""
    made = ExternalLog(session=2).event("opened", 50).blocks(ticks(range(7, 13), 60))
    return made.event("sealed", 1000).end()


def feed_restarted_client() -> Files:
    """The operator stopped the client and started it again: two sessions, in which nothing is missing."""
    first = _steady().blocks(ticks(range(7, 10), 10)).event("sealed", 45).end("shutdown")
    second = ExternalLog(session=2).event("opened", 50).blocks(ticks(range(10, 13), 60)).event("sealed", 1000)
    return {**first, **second.end()}


def feed_client_stopped() -> Files:
    """The operator stopped one of two clients before the run's end: it is expected to have what came until then."""
    stopped = _steady("client-2").blocks(ticks(range(1, 5), 10), 4).event("sealed", 45).end("shutdown")
    return {**_steady().blocks(ticks(range(1, 7), 10)).event("sealed", 1000).end(), **stopped}


def feed_own_numbers() -> Files:
    """Each connection has other records under the same numbers: the clients are not compared."""
    made: Files = {}
    for client, count in (("client-1", 9), ("client-2", 6)):
        every = [heard(seq, 10 + 10 * seq, record={"seq": seq, "to": client}) for seq in range(1, count + 1)]
        made |= _steady(client).blocks(every).event("sealed", 1000).end()
    return made


def feed_one_other_record() -> Files:
    """Two clients have the same records, but for one number under which they differ."""
    others = [*ticks(range(1, 6), 10), heard(6, 60, record={"seq": 6, "other": True})]
    one = _steady().blocks(ticks(range(1, 7), 10)).event("sealed", 1000).end()
    return {**one, **_steady("client-2").blocks(others).event("sealed", 1000).end()}


def feed_of_steps() -> Files:
    """By `step` the numbers rise by ten: between 30 and 60 two records are missing."""
    made = _steady(sequence=SequenceRules(step=10)).block(ticks((10, 20, 30), 10), missing=[])
    return made.block(ticks((60, 70, 80), 40), missing=[(31, 50)]).event("sealed", 1000).end()


def feed_gap_in_ranges() -> Files:
    """The second message covers 8–9 and the third 15–20: at least one message is missing, how many is not known."""
    every = [heard(7, 10, first_seq=4), heard(9, 20, first_seq=8), heard(20, 30, first_seq=15)]
    every.append(heard(21, 40, first_seq=21))
    made = _steady(sequence=SequenceRules(first="$.U")).block(every, missing=[(10, 14)])
    return made.event("sealed", 1000).end()


def feed_signs_of_life() -> Files:
    """A message that repeats the last number and names it as the one before is a sign of life, and no duplicate."""
    links = ((5, -1), (9, 5), (9, 9), (12, 9), (12, 12), (13, 12))
    every = [heard(seq, 10 * place, prev_seq=before) for place, (seq, before) in enumerate(links, 1)]
    made = _steady(sequence=SequenceRules(previous="$.p")).blocks(every, missing=[])
    return made.event("sealed", 1000).end()


def feed_begun_again() -> Files:
    """Over a new connection the numbers fall from 703 to 600: what was sent in between is not known."""
    made = _steady().blocks(ticks(range(701, 704), 10)).event("closed", 40, 1006).event("opened", 55)
    made.block(ticks((600, 601, 602), 60), missing=[], restarts=1)
    return made.event("sealed", 1000).end()


def feed_beginning_lost() -> Files:
    """The numbers begin with 1 on the first connection and with 4 on the second: 1 to 3 are missing there."""
    made = _steady().block([heard(seq, 10 * seq, record={"seq": seq, "of": 1}) for seq in (1, 2, 3, 4, 5)])
    made.event("closed", 70, 1006).event("opened", 75)
    made.block([heard(seq, 60 + 10 * seq, record={"seq": seq, "of": 2}) for seq in (4, 5, 6)], missing=[], restarts=1)
    return made.event("sealed", 1000).end()


def feed_jump() -> Files:
    """The numbers leap by a million within a connection of a few records a second: no rate explains as many losses."""
    made = _steady().block(ticks((1, 2, 3), 10)).block(ticks((1_000_001, 1_000_002, 1_000_003), 40))
    return made.event("sealed", 1000).end()


def feed_wrapped_as_said() -> Files:
    """By `wrap` the counter goes from 255 to 1, and nothing is missing."""
    made = _steady(sequence=SequenceRules(wrap="1-255")).blocks(ticks((253, 254, 255), 10), missing=[])
    return made.block(ticks((1, 2, 3), 40), missing=[]).event("sealed", 1000).end()


def feed_wrapped_and_behind() -> Files:
    """After a wrap clients are not compared by number: one of them received nothing for 2 s in which the other did."""
    made: Files = {}
    for client, count in (("client-1", 9), ("client-2", 2)):
        log = _steady(client, until_ms=5000, sequence=SequenceRules(wrap="255")).block(ticks((254, 255), 10))
        made |= log.blocks(ticks(range(count), 400, 500), missing=[]).event("sealed", 5000).end()
    return made


def feed_lists() -> Files:
    """Each message is a list, and one record (`message_list`); its number is at `$[2]`."""
    every = [heard(seq, 10 * seq, record=[17, "te", seq, [seq * 3, -1]]) for seq in range(1, 7)]
    made = _steady(seq="$[2]", message_list="record").blocks(every)
    return made.event("sealed", 1000).end()


def feed_of_keys() -> Files:
    """Two sequences by `key`: of the second one the number 4 is missing."""
    every = [
        heard(seq, 10 * place, key=key)
        for place, (key, seq) in enumerate([("a", 1), ("b", 3), ("a", 2), ("b", 5), ("a", 3), ("b", 6)], 1)
    ]
    return _steady(key="$.key").blocks(every).event("sealed", 1000).end()


def feed_key_nowhere() -> Files:
    """No record has a key at the path that the settings name, so several sequences may be taken for one."""
    made = _steady(key="$.symbol").blocks(ticks(range(1, 7), 10), without_key=3)
    return made.event("sealed", 1000).end()


def feed_key_gone() -> Files:
    """After a reconnect a key has no records any more, for many blocks: perhaps it was not subscribed again."""
    made = _steady(key="$.key")
    for number in range(1, 5):
        made.block([heard(number, 20 * number, key="a"), heard(number, 20 * number + 10, key="b")])
    made.event("closed", 100, 1006).event("opened", 105)
    for number in range(5, 10):
        made.block([heard(number, 20 * number + 10, key="a")])
    return made.event("sealed", 1000).end()


def feed_keys_of_one_client() -> Files:
    """Two clients share one key, and of another key only one of them received records, 10 of them."""
    shared = ticks(range(1, 14), 10, 200, key="a")
    second = ticks(range(1, 11), 1060, 100, key="b")
    every = sorted([*shared, *second], key=lambda message: message.received_at)
    made = _steady(key="$.key", until_ms=4000).blocks(every, 5).event("sealed", 4000).end()
    other = _steady("client-2", key="$.key", until_ms=4000).blocks(shared, 5).event("sealed", 4000).end()
    return {**made, **other}


def feed_several_sequences() -> Files:
    """Two sequences without a key: the numbers return again and again to where the other one had ended."""
    every = [seq for step in range(6) for seq in (5000 + step, 90 + step)]
    return _steady().blocks(ticks(every, 10), missing=[]).event("sealed", 1000).end()


def feed_passed_over() -> Files:
    """Beside a missing number there are messages that `FEED_IGNORE` and `FEED_PING` match: they were not logged."""
    made = _steady().block(ticks((1, 2, 3), 10), ignored=2, pings=1).block(ticks((5, 6, 7), 50), ignored=1, pings=0)
    return made.event("sealed", 1000, ignored=1).end()


def feed_unreadable() -> Files:
    """At the place of 4 there is a record that cannot be read: its number is neither received nor missing."""
    odd = heard(None, 40, record='{"seq":4,"text":', form="text")
    return _steady().blocks([*ticks((1, 2, 3), 10), odd, *ticks((5, 6), 50)]).event("sealed", 1000).end()


def feed_not_strict() -> Files:
    """A record is no strict JSON, and its number can be read: it is logged as a text, and counts."""
    odd = heard(4, 40, record='{"seq":4,"price":NaN}', form="text")
    return _steady().blocks([*ticks((1, 2, 3), 10), odd, *ticks((5, 6), 50)]).event("sealed", 1000).end()


def feed_without_number() -> Files:
    """Between numbered records there is one without a number: it is counted, and hides none."""
    odd = heard(None, 35, record={"status": "ok"})
    return _steady().blocks([*ticks((1, 2, 3), 10), odd, *ticks((4, 5), 40)]).event("sealed", 1000).end()


def feed_clock_ahead() -> Files:
    """A record arrived 3.4 ms before it was sent: the sender's clock is ahead, and no latency is claimed."""
    every = [heard(seq, 10 * seq, late_ms=-3.4 if seq == 3 else 1.5) for seq in range(1, 7)]
    return _steady(time="$.at").blocks(every).event("sealed", 1000).end()


def feed_time_nowhere() -> Files:
    """No record has a time at the path that the settings name: there is no latency, and all else stands."""
    made = _steady(time="$.at").blocks(ticks(range(1, 7), 10), without_time=3)
    return made.event("sealed", 1000).end()


def feed_of_64_bits() -> Files:
    """Numbers above 2^53 are texts in the log, and exact: one of them is missing."""
    top = 2**64 - 1
    every = ticks([top - back for back in (6, 5, 4, 2, 1, 0)], 10)
    return _steady(encoding="gzip").blocks(every).event("sealed", 1000).end()


def feed_repeated() -> Files:
    """After a reconnect the feed sends its last two records again, with the same content: duplicates."""
    return _repeated(SequenceRules())


def feed_repeated_as_said() -> Files:
    """The same, and `repeats` (`FEED_REPEATS`) allows it."""
    return _repeated(SequenceRules(repeats="reconnect"))


def _repeated(rules: SequenceRules) -> Files:
    made = _steady(sequence=rules).blocks(ticks(range(7, 10), 10)).event("closed", 40, 1006).event("opened", 55)
    return made.block(ticks((8, 9, 10, 11), 60), missing=[], duplicates=2).event("sealed", 1000).end()


def feed_out_of_order() -> Files:
    """The number 3 came behind 4."""
    made = _steady().blocks(ticks((1, 2, 4, 3, 5, 6), 10), 6, missing=[], reordered=1)
    return made.event("sealed", 1000).end()


def feed_long_keys() -> Files:
    """Two keys are equal in their first 120 characters: nevertheless they are two sequences."""
    every = [heard(seq, 20 * seq + 5 * late, key="k" * 130 + "ab"[late]) for seq in range(1, 4) for late in (0, 1)]
    return _steady(key="$.key").blocks(every, 6).event("sealed", 1000).end()


def feed_disk_behind() -> Files:
    """The client did not read for 30 of 100 ms, because its disk was behind (`stalls`): its latencies are doubtful."""
    stall = blocklog.Stall(moment_text(30), moment_text(60))
    made = _steady().block(ticks((1, 2, 3), 10)).block(ticks((4, 5, 6), 70, 20), stalls=[stall])
    return made.event("sealed", 1000).end()


CASES = (
    feed_connected,
    feed_restarted_client,
    feed_client_stopped,
    feed_connections_unknown,
    feed_contents_differ,
    feed_contents_bridge_a_reconnect,
    feed_cut_off,
    feed_fallen_silent,
    feed_silent_as_said,
    feed_ended_as_said,
    feed_refused,
    feed_greeting_unanswered,
    feed_close_not_logged,
    feed_client_lost,
    feed_client_never_came,
    feed_session_removed,
    feed_own_numbers,
    feed_one_other_record,
    feed_of_steps,
    feed_gap_in_ranges,
    feed_signs_of_life,
    feed_begun_again,
    feed_beginning_lost,
    feed_jump,
    feed_wrapped_as_said,
    feed_wrapped_and_behind,
    feed_lists,
    feed_of_keys,
    feed_long_keys,
    feed_key_nowhere,
    feed_key_gone,
    feed_keys_of_one_client,
    feed_several_sequences,
    feed_passed_over,
    feed_unreadable,
    feed_not_strict,
    feed_without_number,
    feed_clock_ahead,
    feed_time_nowhere,
    feed_of_64_bits,
    feed_repeated,
    feed_repeated_as_said,
    feed_out_of_order,
    feed_disk_behind,
)
