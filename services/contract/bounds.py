"""What one peer, file or name may cost: every bound in one table, with its unit and its reason. Pure.

The modules that enforce a bound read it here, and the tables in ``docs/security.md`` are generated from the same rows.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Number = TypeVar("Number", int, float)


class Bound(NamedTuple, Generic[Number]):
    """One bound.

    Attributes:
        what: is bounded.
        value: the greatest allowed.
        unit: of the value.
        reason: why the value is not lower or higher.
        beyond: what happens beyond it.
    """

    what: str
    value: Number
    unit: str
    reason: str
    beyond: str


CONNECTIONS = Bound(
    "connections of a server",
    20_000,
    "connections, or four times `CLIENTS` if that is more; at most `RLIMIT_NOFILE` less 96",
    "an idle connection costs at most 20 KiB; the files left are for the ledger",
    "HTTP 503 with `Retry-After`",
)
SPARE_CONNECTIONS = Bound(
    "of these, kept for plain requests and for holders of the control token",
    16,
    "connections",
    "an operator must be able to look and act while the server is full",
    "HTTP 503 with `Retry-After`",
)
UNSUBSCRIBED = Bound(
    "peers of one address without a subscription",
    1_000,
    "connections",
    "10,000 clients of one address are without one for milliseconds each, and one that is refused tries again",
    "HTTP 503 with `Retry-After`",
)
SILENT_SECONDS = Bound(
    "time until the first frame of a peer",
    10,
    "s",
    "a client sends its first frame as soon as it has the `welcome`",
    "`error` with `unsubscribed` and 4408",
)
UNSUBSCRIBED_SECONDS = Bound(
    "time until the subscription, or the first permitted `control`, of a peer that sends frames; not after the end of "
    "a run",
    60,
    "s",
    "a client that has finished a run and reconnects waits for the next one",
    "`error` with `unsubscribed` and 4408",
)
RETRY_AFTER_SECONDS = Bound(
    "`Retry-After` of a 503", 1, "s", "places become free within milliseconds", "a client retries within 0.6 s anyway"
)
ACCEPTED_AT_ONCE = Bound(
    "connections accepted in one turn of the loop",
    32,
    "connections per listening socket",
    "each costs 0.1 ms, and records wait meanwhile",
    "the others wait in the kernel",
)
HANDSHAKE_SECONDS = Bound("duration of an opening request", 5, "s", "it is one packet", "the connection is closed")
HEADER_LINES = Bound(
    "header lines of an opening request",
    32,
    "lines; `WEBSOCKETS_MAX_NUM_HEADERS` raises it",
    "a proxy adds a few to the seven of a client",
    "431",
)
HEADER_BYTES = Bound(
    "length of a header line",
    1024,
    "bytes; `WEBSOCKETS_MAX_LINE_LENGTH` raises it",
    "a token is shorter",
    "431, 414 for the request line",
)
MESSAGE_BYTES = Bound(
    "a message of a client",
    64 * 1024,
    "bytes",
    "the longest is a receipt with many spans",
    "1009",
)
FRAGMENTS = Bound(
    "fragments of a message of a client",
    64,
    "fragments; `WEBSOCKETS_MAX_FRAGMENTS` raises it",
    "a client sends whole messages; each fragment is an object, however short",
    "1009",
)
CLOSE_SECONDS = Bound("duration of a close", 1, "s", "it is one answer", "the connection is aborted")
FIRST_READ_BYTES = Bound(
    "bytes read at a time before the subscription",
    1024,
    "bytes",
    "all that was read is parsed before any other peer has its turn",
    "the rest waits in the kernel",
)
READ_BYTES = Bound(
    "bytes read at a time afterwards",
    4096,
    "bytes",
    "a receipt has some hundred bytes",
    "the rest waits in the kernel",
)
FIRST_MESSAGES = Bound(
    "messages at once before the subscription, WebSocket pings and pongs included",
    32,
    "messages, and 50 a second",
    "a client sends five or six",
    "as below",
)
MESSAGES = Bound(
    "messages at once afterwards, receipts excepted",
    200,
    "messages, and 50 a second",
    "a client sends one a second",
    "`error` with `too_many` and 4400; disconnected when it was a control frame",
)
MESSAGES_PER_SECOND = 50
"""The rate of both buckets of messages."""
SUBSCRIPTIONS = Bound(
    "subscriptions on one connection at once, in one run",
    10,
    "subscriptions, and one every 6 s",
    "each is an entry of the ledger; a client needs another for each suggested name",
    "`too_many`, 4400",
)
SUBSCRIPTIONS_PER_SECOND = 1 / 6
NAMES = Bound(
    "names in one run",
    CONNECTIONS.value,
    "names, or four times `CLIENTS` if that is more",
    "never less than the connections, so that every client that is connected can take part",
    "`too_many`, 1013",
)
NAMES_PER_CLIENT = 4
"""Connections and names of a run, for each of the `CLIENTS`, if that is more."""
WAITING_FOR_NAME = Bound(
    "subscriptions that wait for one name",
    16,
    "subscriptions",
    "the first of them asks the holder, which takes up to 2.2 s; the others are answered with it",
    "`name_taken`, at once",
)
FORMER_INSTANCES = Bound(
    "former processes of one name that are remembered",
    16,
    "processes",
    "a process that lost its name asks again within seconds",
    "the oldest is forgotten",
)
MARK_CHARACTERS = Bound("`instance`, `boot`", 64, "characters", "a UUID has 36", "`malformed`, 4400")
TEXT_CHARACTERS = Bound("a text in a frame", 1024, "characters", "an error has at most 300", "`malformed`, 4400")
RECEIPTS = Bound(
    "receipts of one name, new ones in a run and repeated ones on a connection, beyond two for each record sent to it",
    1_000,
    "receipts",
    "a block holds at least one record, and is receipted again only if a crash took it",
    "`too_many`, 4400",
)
RECEIPTED_RECORDS = Bound(
    "records in the receipts of one name, beyond two for each record that was sent to it, here or elsewhere",
    100_000,
    "records",
    "each is generated again and compared",
    "`too_many`, 4400",
)
BUFFERED_BYTES = Bound(
    "bytes buffered in the server for one peer, pongs and answers included",
    2 * 1024 * 1024,
    "bytes",
    "eight of the largest frames",
    "the connection is aborted",
)
LEDGER_LINE_BYTES = Bound(
    "a line of the ledger that is read back at start; the ledger is read piece by piece",
    1024 * 1024,
    "bytes",
    "the longest is a receipt of 64 KiB",
    "it is skipped as damage",
)
CONTROL_NAMES_BYTES = Bound(
    "names in one answer to `control`", 192 * 1024, "bytes", "a frame has 256 KiB", "the others are left out"
)

SERVER_BOUNDS: tuple[Bound[int], ...] = (
    CONNECTIONS, SPARE_CONNECTIONS, UNSUBSCRIBED, SILENT_SECONDS, UNSUBSCRIBED_SECONDS, RETRY_AFTER_SECONDS,
    ACCEPTED_AT_ONCE, HANDSHAKE_SECONDS, HEADER_LINES, HEADER_BYTES, MESSAGE_BYTES, FRAGMENTS, CLOSE_SECONDS,
    FIRST_READ_BYTES, READ_BYTES, FIRST_MESSAGES, MESSAGES, SUBSCRIPTIONS, NAMES, WAITING_FOR_NAME, FORMER_INSTANCES,
    MARK_CHARACTERS, TEXT_CHARACTERS, RECEIPTS, RECEIPTED_RECORDS, BUFFERED_BYTES, LEDGER_LINE_BYTES,
    CONTROL_NAMES_BYTES,
)  # fmt: skip

LOG_LINE_BYTES = Bound(
    "a line of an earlier log that is read back",
    32 * 1024 * 1024,
    "bytes",
    "settings that could make a longer line are refused",
    "it counts as damage",
)
LOG_FILE_BYTES = Bound(
    "a file of an earlier log that is read back",
    256 * 1024 * 1024,
    "bytes",
    "four of the largest files that a client writes",
    "the rest is neither read nor removed",
)
RENAMES = Bound(
    "renames on the server's suggestion",
    8,
    "renames at once, then one every 30 s",
    "each makes a folder",
    "it disconnects, removes its empty folder, and reconnects under its first name",
)
RUNS = Bound(
    "new runs announced by the server",
    16,
    "runs at once, then one a second",
    "each makes a folder",
    "it disconnects, and reconnects after 30 s",
)
COMMAND_BYTES = Bound(
    "what a command of a greeting prints (only with `FEED_COMMANDS=yes`)",
    1024 * 1024,
    "bytes, within 10 s or the time of the step",
    "it prints a token or a message",
    "it is killed with all that it has started, and the connection is closed",
)
HEARTBEAT_MESSAGES = Bound(
    "messages of an external server that are searched for the interval of heartbeats",
    100,
    "messages",
    "a server names it at the start",
    "no heartbeat is sent, and one line of the log says so",
)

CLIENT_BOUNDS: tuple[Bound[int], ...] = (
    LOG_LINE_BYTES, LOG_FILE_BYTES, RENAMES, RUNS, COMMAND_BYTES, HEARTBEAT_MESSAGES,
)  # fmt: skip

LISTING_BYTES = Bound(
    "an answer of a node without a file: its runs, or the files of one",
    16 * 1024 * 1024,
    "bytes",
    "10,000 clients with some files each need two million",
    "the node counts as not reached, with the reason",
)
LISTED_RUNS = Bound(
    "runs of a node, and runs that are pulled and have no verdict yet",
    10_000,
    "runs",
    "each is a request in every pass, and a file of the collector",
    "a node hands out its newest ones; a listing with more is refused",
)
LISTED_FILES = Bound(
    "files of one run at a node",
    100_000,
    "files",
    "20,000 names with some files each",
    "the listing is refused",
)
NODES = Bound(
    "nodes, and addresses of one name",
    1_024,
    "nodes",
    "each address has a thread of its own",
    "further ones are not asked, or count as not reached",
)
FREE_BYTES = Bound(
    "room that copies leave on the collector's disk",
    64 * 1024 * 1024,
    "bytes",
    "the summary of the run has to be written",
    "the node counts as not reached until there is room",
)
PART_BYTES = Bound(
    "a part of a run that `merge` reads",
    512 * 1024 * 1024,
    "bytes",
    "the results of 100,000 clients have some 200 MB",
    "the file is refused",
)
PART_NAMES_BYTES = Bound(
    "names of clients in a part, decompressed",
    16 * 1024 * 1024,
    "bytes",
    "100,000 names of 63 characters have 6 MB",
    "the file is refused",
)
EVIDENCE_BYTES = Bound(
    "evidence in a part, decompressed",
    128 * 1024 * 1024,
    "bytes",
    "a record has some 7 bytes",
    "the file is refused",
)

COLLECTOR_BOUNDS: tuple[Bound[int], ...] = (
    LISTING_BYTES, LISTED_RUNS, LISTED_FILES, NODES, FREE_BYTES, PART_BYTES, PART_NAMES_BYTES, EVIDENCE_BYTES,
)  # fmt: skip


def table(bounds: tuple[Bound[int], ...]) -> str:
    """Return bounds as a table in Markdown."""
    rows = [f"| {row.what} | {row.value:,} {row.unit} | {row.reason} | {row.beyond} |" for row in bounds]
    return "\n".join(["| what | bound | reason | beyond it |", "|---|---|---|---|", *rows])
