"""Asks one node for its files, by HTTP. Blocking I/O, with deadlines: a node that hangs delays only its own thread."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlencode

from services.collector.nodes.node_address import NodeAddress
from services.contract.bounds import LISTING_BYTES
from services.contract.errors import MalformedListing
from services.contract.nodes import NodeFile, NodeInfo, NodeListing, decode
from services.runtime.access.tls import ClientTls
from services.runtime.errors import BadSettings
from services.runtime.output.printable import one_line

PIECE = 1024 * 1024
"""Most bytes of a file in one response."""
_MOST_HEAD = 64 * 1024
"""Bytes of a response beside its body: the head, and the sizes of pieces."""
_MOST_REASON = 300
_READ = 64 * 1024
_HEADINGS = {401: "the token is refused", 404: "it has no such file", 503: "it cannot read its files"}


class NodeUnreachable(Exception):
    """A node does not answer, or not as a node does; the text says why."""


class NodeTimeouts(NamedTuple):
    """Deadlines, in seconds.

    Attributes:
        step: for a connection, and for each read from it.
        response: for a whole response.
    """

    step: float = 5.0
    response: float = 30.0


class HttpAnswer(NamedTuple):
    """An answer: HTTP status, the header ``Content-Range``, and the body."""

    status: int
    content_range: str
    body: bytes


Answer = TypeVar("Answer", NodeInfo, NodeListing)


class NodeClient:
    """Asks one node; one thread at a time.

    Args:
        address: of the node.
        token: that it requires.
        timeouts: for its answers.
        tls: verifies its certificate; None trusts the authorities of the system.
    """

    def __init__(
        self,
        address: NodeAddress,
        token: str,
        timeouts: NodeTimeouts | None = None,
        tls: ClientTls | None = None,
    ) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._timeouts = timeouts = timeouts or NodeTimeouts()
        self._connection = _NodeConnection(address, timeouts.step, tls or ClientTls())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def info(self) -> NodeInfo:
        """Return the node's name and its runs.

        Raises:
            NodeUnreachable: it does not answer.
        """
        return self._decoded(NodeInfo, "/node")

    def listing(self, run: str) -> NodeListing:
        """Return the files of a run.

        Raises:
            NodeUnreachable: it does not answer.
        """
        found = self._decoded(NodeListing, "/files", run=run)
        if found.run != run:
            raise NodeUnreachable(f"it answers with the files of run {found.run}, not of {run}")
        return found

    def part(self, run: str, file: NodeFile, first: int) -> bytes:
        """Return the bytes of a file from an offset on, at most `PIECE`.

        Raises:
            NodeUnreachable: it does not answer, or with other bytes.
        """
        query = {"run": run, "name": file.name} | ({} if file.client is None else {"client": file.client})
        status, given, data = self._get("/file", PIECE, query, {"Range": f"bytes={first}-{first + PIECE - 1}"})
        if status == 416:
            return b""
        if status != 206 or not given.startswith(f"bytes {first}-"):
            raise NodeUnreachable(f"it does not serve ranges of files: HTTP {status}")
        return data

    def _decoded(self, kind: type[Answer], path: str, **query: str) -> Answer:
        status, _, data = self._get(path, LISTING_BYTES.value, query, {})
        if status != 200:
            raise NodeUnreachable(f"HTTP {status}")
        try:
            return decode(data, kind)
        except MalformedListing as problem:
            raise NodeUnreachable(f"its answer is none of a node: {problem.detail}") from problem

    def _get(self, path: str, most_bytes: int, query: dict[str, str], headers: dict[str, str]) -> HttpAnswer:
        self._connection.begin_response(self._timeouts, most_bytes)
        try:
            self._connection.request("GET", f"{path}?{urlencode(query)}", headers={**self._headers, **headers})
            with self._connection.getresponse() as response:
                data = self._body(response, most_bytes)
        except (OSError, http.client.HTTPException, BadSettings) as problem:
            self._connection.close()
            raise NodeUnreachable(_why(problem)) from problem
        except NodeUnreachable:
            self._connection.close()
            raise
        if response.status in _HEADINGS:
            raise NodeUnreachable(f"{_HEADINGS[response.status]} (HTTP {response.status})")
        return HttpAnswer(response.status, response.headers.get("Content-Range") or "", data)

    @staticmethod
    def _body(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
        data = bytearray()
        while piece := response.read1(_READ):
            data += piece
            if len(data) > most_bytes:
                raise NodeUnreachable(f"its answer is longer than {most_bytes:,} bytes")
        if response.length:
            raise NodeUnreachable("its answer is cut short")
        # There is nothing to read, but only then the library ends the response and accepts the next request.
        response.read()
        return bytes(data)


class _NodeConnection(http.client.HTTPConnection):
    """A connection to a node. By TLS, the certificate is for its name, of which it may be one address of many."""

    def __init__(self, address: NodeAddress, seconds: float, tls: ClientTls) -> None:
        super().__init__(address.host, address.port, timeout=seconds)
        self._tls, self._tls_name = tls, address.tls_name
        self._limits = _ResponseLimits()

    def connect(self) -> None:
        """Connect, and with TLS verify the certificate."""
        super().connect()
        if self._tls_name:
            self.sock = self._tls.context().wrap_socket(self.sock, server_hostname=self._tls_name)
        self.sock = cast("socket.socket", _BoundedSocket(self.sock, self._limits))

    def begin_response(self, timeouts: NodeTimeouts, most_bytes: int) -> None:
        """Begin the time and the bytes of a response whose body has at most so many bytes."""
        self._limits.until, self._limits.step_seconds = time.monotonic() + timeouts.response, timeouts.step
        self._limits.bytes_left = most_bytes + _MOST_HEAD


@dataclass
class _ResponseLimits:
    """What the response that is read may still cost: its end in monotonic seconds, and its bytes."""

    until: float = 0.0
    step_seconds: float = 0.0
    bytes_left: int = 0


class _BoundedSocket:
    """A socket whose reads keep to limits. `http.client` has none for lines without end, as after ``100 Continue``."""

    def __init__(self, inner: socket.socket, limits: _ResponseLimits) -> None:
        self._inner, self._limits = inner, limits

    def sendall(self, data: bytes) -> None:
        """Send a request."""
        self._inner.settimeout(self._limits.step_seconds)
        self._inner.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader of the next response."""
        return io.BufferedReader(_BoundedReader(self._inner, self._limits))

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()


class _BoundedReader(io.RawIOBase):
    def __init__(self, inner: socket.socket, limits: _ResponseLimits) -> None:
        super().__init__()
        self._inner, self._limits = inner, limits

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer.

        Raises:
            NodeUnreachable: the response is longer, or took longer, than its limits.
        """
        left = self._limits.until - time.monotonic()
        if left <= 0:
            raise NodeUnreachable("its answer took too long")
        if self._limits.bytes_left <= 0:
            raise NodeUnreachable("its answer is too long")
        self._inner.settimeout(min(left, self._limits.step_seconds))
        count = self._inner.recv_into(buffer)
        self._limits.bytes_left -= count
        return count


def _why(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {problem.verify_message}; TLS_CA_FILE adds certificates to trust"
    if isinstance(problem, ssl.SSLError):
        return f"no TLS with it ({problem.reason}): the address of a node without TLS has no https://"
    if isinstance(problem, TimeoutError):
        return "it does not answer in time"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    # The library quotes lines of the answer, which may have 64 KiB of anything.
    return one_line(str(problem)[:_MOST_REASON]) or type(problem).__name__
