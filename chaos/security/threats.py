"""The threats, and the control against each; `table` is the one in docs/security.md."""

from __future__ import annotations

from typing import NamedTuple


class Threat(NamedTuple):
    """A threat.

    Attributes:
        number: its name in the cases.
        what: is threatened.
        control: what is done about it.
        tests: where it is tested, besides `make security`.
    """

    number: str
    what: str
    control: str
    tests: str


THREATS = (
    Threat("T1", "a page in a browser reaches the feed, or reads it by DNS rebinding",
           "`Origin` is refused, `Host` is checked", "`tests/unit/server/test_opening_requests.py`"),
    Threat("T2", "a peer controls the run without a token", "loopback, or the control token, compared in constant time",
           "`tests/integration/test_control.py`"),
    Threat("T3", "connections fill memory or descriptors", "limits in total and for each address; small requests",
           "`tests/integration/test_limits.py`"),
    Threat("T4", "connections that are not used", "deadlines for request, first frame and subscription",
           "`tests/unit/server/connections/test_gate.py`"),
    Threat("T5", "peers that do not read", "2 MiB and `SEND_SECONDS`", "`chaos/wire/test_slow_peers.py`"),
    Threat("T6", "huge messages, and messages in many pieces", "64 KiB; the library's limit of fragments",
           "`tests/integration/test_hostile_peers.py`"),
    Threat("T7", "compressed messages", "compression is not negotiated", ""),
    Threat("T8", "malformed frames, texts and fields", "strict decoding; `error` and a close code",
           "`tests/integration/test_hostile_peers.py`"),
    Threat("T9", "floods of frames", "small reads; a token bucket",
           "`tests/unit/server/connections/test_connection.py`"),
    Threat("T10", "false positions, receipts, fences and names", "ranges; receipts only for what was sent",
           "`tests/unit/server/streaming/test_receipts.py`"),
    Threat("T11", "paths, links, pipes and folders without end", "patterns of names; regular files without links",
           "`tests/integration/test_limits.py`"),
    Threat("T12", "control characters on a terminal", "paths, names and quoted values are escaped",
           "`tests/unit/contract/test_errors.py`"),
    Threat("T13", "scripts on the page", "a content security policy; texts are no markup",
           "`tests/unit/collector/publish/web/test_host_guard.py`, `tests/integration/test_page_in_browser.py`"),
    Threat("T14", "labels of metrics without end", "no label names a run; clients up to 200",
           "`tests/unit/collector/publish/web/test_prometheus.py`"),
    Threat("T15", "logs that were changed",
           "checksums find accidents, and a changed line is judged; forgery is not found",
           "`tests/conformance`"),
    Threat("T16", "a way out of a container", "no capability, no root, a read-only root, internal networks",
           "`tests/integration/test_container_hardening.py`"),
    Threat("T17", "files that fill memory or disk", "lines and files are read in bounded pieces",
           "`tests/integration/test_limits.py`"),
    Threat("T18", "secrets in logs, errors, arguments or addresses", "files with mode 600; hidden in every output",
           "`tests/unit/runtime/access/test_shown_address.py`, `tests/integration/test_exposed.py`"),
    Threat("T19", "a proxy variable that diverts a connection", "proxies of the environment are not used",
           ""),
    Threat("T20", "a port that a firewall does not cover", "listens on loopback unless a setting names another address",
           "`tests/unit/runtime/access/test_listen_rules.py`"),
    Threat("T21", "a package or image that was exchanged", "hashes, digests and commits; bills of materials",
           "`tests/repo/test_supply_chain.py`"),
    Threat("T22", "plain text on a network", "TLS, or no start; nothing is sent to other machines without it",
           "`tests/integration/test_exposed.py`, `tests/unit/server/jetstream/test_secure_connection.py`"),
    Threat("T23", "rights that Swarm does not take away", "no file of an image gives rights",
           "`tests/integration/test_images.py`"),
)  # fmt: skip


def table() -> str:
    """Return the threats as a table in Markdown."""
    rows = [
        f"| {threat.number} | {threat.what} | {threat.control} | {threat.tests or '`make security`'} |"
        for threat in THREATS
    ]
    return "\n".join(["| | threat | control | test |", "|---|---|---|---|", *rows])
