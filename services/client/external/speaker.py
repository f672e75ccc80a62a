"""What one client says to an external server, over all of its connections: how it greets first, and how it resumes."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from services.client.external import connection_failure
from services.client.external.request_headers import request_headers
from services.client.external.session import Sequences
from services.client.external.settings import FeedSettings
from services.client.external.talk.conversation import Conversation, Voice
from services.client.external.talk.greeting_sources import with_files
from services.client.external.talk.resumption import resumption
from services.runtime.errors import BadSettings


class Speaker:
    """Begins a conversation on each connection of one client, and remembers the values captured on earlier ones."""

    def __init__(self, client: str, settings: FeedSettings) -> None:
        self._client, self._reach, self._said = client, settings.reach, settings.conversation
        self._has_numbers = settings.reading.seq is not None
        self._login, self._hello, self._resume = self._said.login, self._said.hello, self._said.resume
        self._captured: dict[str, str] = {}
        self._conversation: Conversation | None = None

    def prepare(self) -> None:
        """Read the files of the greeting, before there is a connection.

        Raises:
            BadSettings: a file cannot be used.
        """
        self._login, self._hello, self._resume = map(
            with_files, (self._said.login, self._said.hello, self._said.resume)
        )

    def begin(
        self, send: Callable[[str | bytes], Awaitable[None]], sequences: Sequences, connections: int
    ) -> Conversation:
        """Return the conversation for a new connection.

        Args:
            send: sends one message.
            sequences: what this client has received so far.
            connections: the number of connections, this one included.
        """
        last = list(sequences.last())
        has_begun = bool(last) or (connections > 1 and not self._has_numbers)
        if self._resume and has_begun and not self._unknown_names():
            steps = resumption(self._resume, self._hello, self._client, last)
        else:
            steps = self._hello.planned({"client": self._client})
        voice = Voice(self._client, send, lambda: max((seq for _, seq in sequences.last()), default=None))
        steps = [*self._login.planned({"client": self._client}), *steps]
        self._conversation = Conversation(voice, steps, self._said.heartbeat, self._captured)
        return self._conversation

    def _unknown_names(self) -> frozenset[str]:
        """Return the names in the resuming messages whose values no earlier or coming step has captured."""
        coming = self._login.captures | self._resume.captures
        captured_somewhere = coming | self._hello.captures
        return self._resume.names & captured_somewhere - coming - self._captured.keys()

    def secrets(self) -> list[str]:
        """Return the texts that must not appear in a log."""
        headers: list[tuple[str, str]] = []
        with contextlib.suppress(BadSettings):
            headers = request_headers(self._reach)
        texts = [*self._said.texts, *self._reach.subprotocols, *self._captured.values()]
        if self._conversation is not None:
            texts += self._conversation.texts
        return connection_failure.secrets_of([self._reach.url, self._reach.proxy], headers, texts)
