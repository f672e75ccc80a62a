"""Finds the files that a feed profile names outside of its own folder.

What is in a file of the greeting or of the headers is sent to the server that the profile names. So a profile by
another author must not name any file of this machine, unless the operator permits that, as with commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

SENT_FILES = ("FEED_HELLO_FILE", "FEED_HEADERS_FILE", "FEED_AUTHORIZATION_FILE")
"""Settings that name a file whose content is sent."""
GREETINGS = ("FEED_HELLO", "FEED_RESUME")
_STEP = "file:"


def outside_files(texts: Mapping[str, str], profile: Path) -> Iterator[tuple[str, str]]:
    """Yield the settings that name a file outside of the folder of their profile, each with the path.

    Args:
        texts: of the settings in the profile, by the name of their variable.
        profile: its path. Links are followed, both here and to the files.
    """
    folder = profile.parent.resolve()
    for name, path in _named(texts):
        if not Path(path).resolve().is_relative_to(folder):
            yield name, path


def _named(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in SENT_FILES:
        if path := texts.get(name, "").strip():
            yield name, path
    for name in GREETINGS:
        for line in texts.get(name, "").split("\n"):
            if line.strip().startswith(_STEP):
                yield name, line.strip().removeprefix(_STEP).strip()
