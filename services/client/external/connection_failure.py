"""Why an attempt failed or a connection ended: its code, a short text without secrets, when to try again. Pure."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidProxyStatus, InvalidStatus, SecurityError
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.protocol import Protocol

from services.runtime.access.shown_address import without_credentials
from services.runtime.access.tls import handshake_problem
from services.runtime.websocket_io import close_frames

MAX_REASON_LENGTH = 200
"""Characters of a reason."""
MAX_RETRY_AFTER_SECONDS = 600.0
_MAX_BODY_BYTES = 4096
# Shorter passwords, and shorter values in a query, are not hidden: that would remove ordinary words from a reason.
_MIN_SECRET_LENGTH, _MIN_VALUE_LENGTH = 4, 8
# Unauthorised, forbidden, too many requests: another attempt soon would get the same answer.
_FIRM_STATUSES = (401, 403, 429)
# Codes of the application's own (RFC 6455, 7.4.2), by which most feeds refuse a client.
_PRIVATE_CODES = range(4000, 5000)
# A member of a message whose name says that its value is a secret.
_SECRET_MEMBER = re.compile(
    r'"[^"]*(?:token|secret|pass|apikey|api_key|signature|jwt|auth)[^"]*"\s*:\s*"([^"]+)"', re.IGNORECASE
)
_TAG = re.compile(r"<(?:script|style).*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class ConnectionFailure(NamedTuple):
    """A failed attempt to connect, or the end of a connection.

    Attributes:
        code: HTTP status or close code, None without one.
        reason: the server's own text, or else a description, at most `MAX_REASON_LENGTH` characters.
        why: the same as a whole sentence, for the service's own log.
        is_firm: whether another attempt soon would be refused as well.
        retry_after_s: how long the server asks not to be contacted, in seconds; None if it does not ask.
    """

    code: int | None
    reason: str
    why: str
    is_firm: bool = False
    retry_after_s: float | None = None


def of_attempt(problem: Exception, secrets: Iterable[str], now_us: int) -> ConnectionFailure:
    """Return why an attempt to connect failed."""
    if not isinstance(problem, InvalidStatus | InvalidProxyStatus):
        why = brief(_described(problem), secrets)
        # Redirects that never end would be followed again, ten requests each time.
        return ConnectionFailure(None, why, why, isinstance(problem, SecurityError))
    response, peer = problem.response, "server" if isinstance(problem, InvalidStatus) else "proxy"
    text = _first_line(response)
    notes = "".join(f", {note}" for note in getattr(problem, "__notes__", ()))
    why = brief(f"the {peer} answered HTTP {response.status_code}" + (f": {text}" if text else "") + notes, secrets)
    return ConnectionFailure(
        response.status_code,
        why,
        why,
        response.status_code in _FIRM_STATUSES,
        _retry_after(response, now_us),
    )


def _described(problem: Exception) -> str:
    """Return in words what went wrong, where the exception's own text does not say which party has to act."""
    if isinstance(problem, InvalidMessage):
        # A text of the library's own is in the cause: the connection ended, or what came is no HTTP.
        has_ended = isinstance(problem.__cause__, EOFError)
        what = "closed the connection and did not answer" if has_ended else "did not answer in HTTP"
        return f"the server {what} the opening handshake: {problem.__cause__ or problem}"
    if (tls_problem := handshake_problem(problem, "FEED_CA_FILE")) is not None:
        return tls_problem
    if isinstance(problem, socket.gaierror):
        return f"the name of the server cannot be resolved: {problem.strerror}"
    known = [text for kind, text in _PROBLEMS.items() if isinstance(problem, kind)]
    return f"{known[0] if known else type(problem).__name__}: {problem}"


_PROBLEMS: Mapping[type[Exception], str] = {
    TimeoutError: "the server did not answer",
    ConnectionRefusedError: "connection refused",
    SecurityError: "a redirect is not followed",
    InvalidHandshake: "the opening handshake failed",
}


def of_close(connection: Protocol, max_bytes: int, secrets: Iterable[str]) -> ConnectionFailure:
    """Return why a connection ended, by the close frame of the side that closed it; code 1006 without one."""
    received, sent, was_received_first = close_frames(connection)
    by_us = sent is not None and (received is None or was_received_first is False)
    close = sent if by_us else received
    if close is None:
        cut = "the connection was cut without a close frame"
        return ConnectionFailure(int(CloseCode.ABNORMAL_CLOSURE), cut, cut)
    reason = brief(close.reason, secrets)
    why = brief(f"the connection was closed: {'sent' if by_us else 'received'} {close}", secrets)
    if by_us and close.code == CloseCode.MESSAGE_TOO_BIG:
        reason = why = f"a message is longer than FEED_MAX_BYTES={max_bytes}"
    is_firm = not by_us and (close.code == CloseCode.POLICY_VIOLATION or close.code in _PRIVATE_CODES)
    return ConnectionFailure(int(close.code), reason, why, is_firm)


def of_greeting(problem: str, secrets: Iterable[str]) -> ConnectionFailure:
    """Return why this client ended a connection on which its greeting failed."""
    why = brief(problem, secrets)
    return ConnectionFailure(int(CloseCode.PROTOCOL_ERROR), why, why)


def last_message(message: bytes) -> str:
    """Return a clause with a message that came instead of records, which may be an error; empty without one."""
    shown = message.decode("utf-8", "replace").strip()
    return f"; the last message was {shown}" if shown else ""


def brief(text: str, secrets: Iterable[str]) -> str:
    """Return a text fit for a log: one line of printable characters, without secrets and query strings."""
    text = without_credentials(text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:MAX_REASON_LENGTH]


def secrets_of(urls: Iterable[str], headers: Iterable[tuple[str, str]], texts: Iterable[str]) -> list[str]:
    """Return the texts that `brief` must hide.

    Args:
        urls: addresses whose passwords and queries are secret.
        headers: names and values that are sent with the opening handshake.
        texts: messages to the server, in which long tokens and the values of members like ``"token"`` are secret.
    """
    secrets, values = set[str](), set[str]()
    for name, value in headers:
        if name.lower() == "authorization":
            secrets |= {*value.split()}
        values |= {value, *re.split(r"[\s;,=]+", value)}
    for url in urls:
        parts = urlsplit(url)
        secrets |= {parts.query, parts.fragment, parts.netloc.rpartition("@")[0], parts.password or ""}
        values |= {value for _, value in parse_qsl(parts.query)}
    for text in texts:
        # Tokens are long and have no spaces; most channel names are shorter.
        secrets |= set(re.findall(r"[A-Za-z0-9._~+/=-]{24,}", text)) | set(_SECRET_MEMBER.findall(text))
    long_secrets = [secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH]
    return long_secrets + [value for value in values if len(value) >= _MIN_VALUE_LENGTH]


def _first_line(response: Response) -> str:
    """Return the first line of a response's body without HTML tags, or the reason phrase if the body is empty.

    JSON is one line, however it is set.
    """
    try:
        # A long body may be cut in the middle of a character.
        errors = "ignore" if len(response.body) > _MAX_BODY_BYTES else "strict"
        body = bytes(response.body[:_MAX_BODY_BYTES]).decode("utf-8", errors)
    except UnicodeDecodeError:
        body = ""
    if body.lstrip().startswith(("{", "[")):
        return " ".join(body.split())
    if body.lstrip().startswith("<"):
        body = _TAG.sub("\n", body)
    return next((line.strip() for line in body.splitlines() if line.strip()), response.reason_phrase)


def _retry_after(response: Response, now_us: int) -> float | None:
    """Return the seconds of ``Retry-After``; a date there counts from the response's own ``Date``."""
    text = ", ".join(response.headers.get_all("Retry-After")[:1]).strip()
    if not text:
        return None
    if re.fullmatch(r"[0-9]+(?:\.[0-9]*)?", text):
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    until = _date(text)
    if until is None:
        return None
    sent = _date(", ".join(response.headers.get_all("Date")[:1]))
    now = sent if sent is not None else datetime.fromtimestamp(now_us / 1_000_000, UTC)
    return min(max((until - now).total_seconds(), 0), MAX_RETRY_AFTER_SECONDS)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
