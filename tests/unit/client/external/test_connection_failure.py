"""Tests of why an attempt failed or a connection ended."""

from __future__ import annotations

import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    NegotiationError,
    SecurityError,
)
from websockets.frames import Close
from websockets.http11 import Response
from websockets.protocol import Protocol, Side

from services.client.external.connection_failure import (
    MAX_REASON_LENGTH,
    brief,
    of_attempt,
    of_close,
    of_greeting,
    secrets_of,
)
from tests.unit.client.fakes import START_US


def answered(status: int, body: bytes = b"", phrase: str = "Phrase", **headers: str) -> InvalidStatus:
    """Return the exception for a handshake that a server refuses."""
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return InvalidStatus(Response(status, phrase, given, body))


def ended(received: Close | None, sent: Close | None, *, received_first: bool | None = None) -> Protocol:
    """Return a connection that ended with these close frames."""
    made = Protocol(Side.CLIENT)
    made.close_rcvd, made.close_sent, made.close_rcvd_then_sent = received, sent, received_first
    return made


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"slow down\nplease", "the server answered HTTP 429: slow down"),
        (b"", "the server answered HTTP 429: Phrase"),
        (b"\n  \r\n", "the server answered HTTP 429: Phrase"),
        (b"\x1f\x8b\x08\xff", "the server answered HTTP 429: Phrase"),
        (
            b"<html>\n<head><style>b{}</style><title>429 Too Many</title></head>\n<body>",
            "the server answered HTTP 429: 429 Too Many",
        ),
        (b'{\n  "code": 7,\n  "message": "no"\n}', 'the server answered HTTP 429: { "code": 7, "message": "no" }'),
        (("é" * 5000).encode(), "the server answered HTTP 429: " + "é" * (MAX_REASON_LENGTH - 30)),
    ],
)
def test_a_refusal_has_status_and_first_line(body: bytes, reason: str) -> None:
    """The reason has the status and the first line of the response body, without tags."""
    found = of_attempt(answered(429, body), [], START_US)

    assert (429, reason) == (found.code, found.reason)


@pytest.mark.parametrize(("status", "firm"), [(401, True), (403, True), (429, True), (404, False), (503, False)])
def test_some_statuses_are_firm(status: int, firm: bool) -> None:
    """A rejection is firm; the failure of a server that is down is not."""
    assert firm is of_attempt(answered(status), [], START_US).is_firm


def test_a_proxy_that_refuses_is_named() -> None:
    """The reason of a proxy's refusal names the proxy, not the server."""
    refused = InvalidProxyStatus(Response(407, "Proxy Authentication Required", Headers()))

    assert (407, "the proxy answered HTTP 407: Proxy Authentication Required") == of_attempt(refused, [], START_US)[:2]


def no_http(cause: Exception) -> InvalidMessage:
    """Return the exception for an answer that is no HTTP."""
    made = InvalidMessage("did not receive a valid HTTP response")
    made.__cause__ = cause
    return made


def refused_by_tls(kind: type[ssl.SSLError], **attributes: str) -> ssl.SSLError:
    """Return the exception of a TLS handshake."""
    made = kind(1, "text")
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (OSError(113, "no route"), "OSError: [Errno 113] no route"),
        (ConnectionRefusedError(111, "no"), "connection refused: [Errno 111] no"),
        (TimeoutError("timed out"), "the server did not answer: timed out"),
        (socket.gaierror(-2, "not known"), "the name of the server cannot be resolved: not known"),
        (
            refused_by_tls(ssl.SSLCertVerificationError, verify_message="self-signed"),
            "certificate verify failed: self-signed; FEED_CA_FILE adds certificates to trust",
        ),
        (
            refused_by_tls(ssl.SSLError, reason="WRONG_VERSION_NUMBER"),
            "the server does not speak TLS (WRONG_VERSION_NUMBER): an address without it begins with ws:",
        ),
        (
            no_http(EOFError("ended early")),
            "the server closed the connection and did not answer the opening handshake: ended early",
        ),
        (no_http(ValueError("SSH-2")), "the server did not answer in HTTP the opening handshake: SSH-2"),
        (NegotiationError("unknown subprotocol"), "the opening handshake failed: unknown subprotocol"),
        (SecurityError("more than 10"), "a redirect is not followed: more than 10"),
    ],
)
def test_an_attempt_without_an_answer_says_who_has_to_act(problem: Exception, reason: str) -> None:
    """An error without an HTTP status has no code, and is described in words; only endless redirects are firm."""
    assert (None, reason, reason, isinstance(problem, SecurityError), None) == of_attempt(problem, [], START_US)


def test_a_refusal_after_a_redirect_names_the_place() -> None:
    """The reason of a server that refused after a redirect says where that led, without the query."""
    problem = answered(200, b"Please sign in")
    problem.add_note("after a redirect to ws://feed/login?next=x")

    assert "the server answered HTTP 200: Please sign in, after a redirect to ws://feed/login" == (
        of_attempt(problem, [], START_US).reason
    )


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("20", 20), ("0", 0), ("1.5", 1.5), ("86400", 600), ("soon", None), ("-5", None), ("", None),
        ("Sun, 22 Nov 2026 07:30:20 GMT", 20), ("Sun, 22 Nov 2026 07:29:00 GMT", 0),
        ("Mon, 22 Nov 2027 07:30:20 GMT", 600), ("Sun, 99 Nov 2026 07:30:20 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_kept(asked: str, seconds: float | None) -> None:
    """Retry-After is read as a number of seconds or a date, and limited to ten minutes."""
    assert seconds == of_attempt(answered(503, Retry_After=asked), [], START_US).retry_after_s


def test_a_date_counts_from_the_servers_own_clock() -> None:
    """If the response has a Date, a wrong local clock does not change the result."""
    refused = answered(503, Retry_After="Sun, 22 Nov 2026 09:00:30 GMT", Date="Sun, 22 Nov 2026 09:00:00 GMT")

    assert 30 == of_attempt(refused, [], START_US).retry_after_s


@pytest.mark.parametrize(
    ("received", "sent", "received_first", "code", "reason", "firm"),
    [
        (Close(4401, "token expired"), Close(4401, ""), True, 4401, "token expired", True),
        (Close(1008, "policy"), Close(1008, ""), True, 1008, "policy", True),
        (Close(1001, ""), Close(1001, ""), True, 1001, "", False),
        (None, Close(1009, "frame exceeds limit"), None, 1009, "a message is longer than FEED_MAX_BYTES=200", False),
        (Close(1000, ""), Close(1011, "keepalive ping timeout"), False, 1011, "keepalive ping timeout", False),
        (None, None, None, 1006, "the connection was cut without a close frame", False),
    ],
)
def test_an_end_has_the_first_close_frame(
    received: Close | None, sent: Close | None, received_first: bool | None, code: int, reason: str, firm: bool
) -> None:
    """The code is that of the close frame that was sent first, 1006 without one."""
    found = of_close(ended(received, sent, received_first=received_first), 200, [])

    assert (code, reason, firm) == (found.code, found.reason, found.is_firm)


def test_no_secret_is_shown() -> None:
    """A reason contains no password, query string or token of the settings, in any part of the text."""
    token = "eyJhbGciOiJIUzI1NiJ9.e30.abc"
    secrets = secrets_of(
        ["wss://me:hunter2@feed/x?token=abcdefgh&v=1", ""],
        [("Authorization", "Bearer s3cr3t-value")],
        [f'{{"id":"{token}"}}'],
    )
    text = f"wss://me:hunter2@feed/x?token=abcdefgh&v=1 no abcdefgh, s3cr3t-value, {token}; http://a/b?q#c me"
    shown = brief(text, secrets)

    assert "wss://feed/x no ***, ***, ***; http://a/b me" == shown


def test_headers_and_members_that_are_secret_are_not_shown() -> None:
    """A reason contains no value of a header or cookie, and no value of a member whose name says that it is secret."""
    headers = [
        ("X-API-Key", "k3y-value"),
        ("Cookie", "session=c00kie-value; theme=dark"),
        ("Authorization", "Basic abcde"),
        ("X-Phrase", "one two six"),
    ]
    secrets = secrets_of([], headers, ['{"op":"auth","apiKey":"short1","args": {"Passphrase":"no", "token": "t0ken"}}'])

    assert "auth failed: *** *** *** *** *** *** two dark no" == brief(
        "auth failed: k3y-value c00kie-value short1 t0ken abcde one two six two dark no", secrets
    )


def test_a_greeting_that_fails_ends_the_connection() -> None:
    """The reason of a failed greeting has no secrets and is not firm: the server may be slow."""
    found = of_greeting("nothing matched /t0ken/", ["t0ken"])

    assert (1002, "nothing matched /***/", False) == (found.code, found.reason, found.is_firm)


def test_a_reason_is_one_short_line() -> None:
    """Line ends and control characters become spaces, and a reason has at most 200 characters."""
    assert "a b c" == brief("a\n\x00 b\u2028c", [])
    assert MAX_REASON_LENGTH == len(brief("x" * 1000, []))
