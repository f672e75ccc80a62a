"""The file that ``FEED_TOKEN_FILE`` names."""

from __future__ import annotations

from services.runtime.access import secret_files, tokens
from services.runtime.access.tokens import MalformedTokens, Tokens
from services.runtime.errors import BadSettings


class TokenFile:
    """The tokens of the file that ``FEED_TOKEN_FILE`` names.

    Args:
        path: of the file.

    Raises:
        BadSettings: the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = secret_files.signature([path])
        self.tokens = read_tokens(path)

    def reload(self) -> bool:
        """Read the file again if it has changed; return whether it was read.

        Raises:
            BadSettings: the changed file cannot be used; the tokens stay as they were.
        """
        found = secret_files.signature([self._path])
        if found == self._seen:
            return False
        self._seen = found
        self.tokens = read_tokens(self._path)
        return True


def read_tokens(path: str) -> Tokens:
    """Return the tokens in a file.

    Raises:
        BadSettings: the file cannot be used.
    """
    try:
        return tokens.parse(secret_files.read_text("FEED_TOKEN_FILE", path))
    except MalformedTokens as problem:
        raise BadSettings([f"FEED_TOKEN_FILE={path!r}: {problem}"]) from problem
