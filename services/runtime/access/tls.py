"""TLS of the services: contexts made from the operator's files, and what a failed handshake means."""

from __future__ import annotations

import ssl

from services.runtime.access.secret_files import Signature, reason, signature
from services.runtime.errors import BadSettings

HANDSHAKE_SECONDS = 5.0
"""Time that a peer has for the TLS handshake: until it is done, the connection counts against no other limit."""

# What OpenSSL reports when the other side sent something that is not TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")


class ServerTls:
    """The context with which a service accepts TLS, and the files that it is made from.

    Args:
        cert_file: path of the certificate, PEM; issuers may follow it.
        key_file: path of its key, PEM.

    Raises:
        BadSettings: a file cannot be used.
    """

    def __init__(self, cert_file: str, key_file: str) -> None:
        self._paths = cert_file, key_file
        self._seen = signature(self._paths)
        self.context = _server_context(cert_file, key_file)

    def reload(self) -> bool:
        """Use the files again if they have changed; return whether they are in use now.

        Connections that exist keep the certificate that they were made with.

        Raises:
            BadSettings: a changed file cannot be used; the certificate stays as it was.
        """
        found = signature(self._paths)
        if found == self._seen:
            return False
        self._seen = found
        # A trial first: after a failure this context would have a certificate without its key.
        _server_context(*self._paths)
        self.context.load_cert_chain(*self._paths)
        return True


def _server_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for setting, path in (("TLS_CERT_FILE", cert_file), ("TLS_KEY_FILE", key_file)):
        _check_readable(setting, path)
    try:
        # Without a password callback OpenSSL would ask on the terminal for the password of an encrypted key.
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except ssl.SSLError as problem:
        mismatch = problem.reason == "KEY_VALUES_MISMATCH"
        why = "the key is not that of the certificate" if mismatch else "expected a certificate and its key, in PEM"
        raise BadSettings([f"TLS_CERT_FILE={cert_file!r}, TLS_KEY_FILE={key_file!r}: {why}"]) from problem
    except (OSError, ValueError) as problem:
        raise BadSettings([f"TLS_KEY_FILE={key_file!r}: expected a PEM key without a password"]) from problem
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _check_readable(setting: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as problem:
        raise BadSettings([f"{setting}={path!r}: {reason(problem)}"]) from problem


class ClientTls:
    """Makes the context that verifies a server's certificate, again when the file of trusted certificates has changed.

    Args:
        ca_file: path of the certificates to trust instead of the system's; empty for those of the system.

    Raises:
        BadSettings: the file cannot be used.
    """

    def __init__(self, ca_file: str = "") -> None:
        self._ca_file = ca_file
        self._seen: Signature = ()
        self._context: ssl.SSLContext | None = None
        if ca_file:
            self.context()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection.

        Raises:
            BadSettings: the file cannot be used.
        """
        found = signature([self._ca_file]) if self._ca_file else ()
        if self._context is None or found != self._seen:
            self._context, self._seen = _client_context(self._ca_file), found
        return self._context


def _client_context(ca_file: str) -> ssl.SSLContext:
    if not ca_file:
        return ssl.create_default_context()
    _check_readable("TLS_CA_FILE", ca_file)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as problem:
        raise BadSettings([f"TLS_CA_FILE={ca_file!r}: expected certificates in PEM"]) from problem


def handshake_problem(problem: BaseException, trust_setting: str) -> str | None:
    """Return what a failed handshake means; None if it did not fail for TLS.

    Args:
        problem: the exception.
        trust_setting: the setting whose file has certificates to trust.
    """
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {problem.verify_message}; {trust_setting} adds certificates to trust"
    if isinstance(problem, ssl.SSLError) and problem.reason in _NO_TLS:
        return f"the server does not speak TLS ({problem.reason}): an address without it begins with ws:"
    return None
