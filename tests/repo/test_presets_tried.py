"""Every preset is tried by ``make foreign``, and its page names what it was tried against."""

from __future__ import annotations

import re

from chaos.external.registry import ALL_SERVERS
from services.client.external.profiles.profile import preset_names
from tests.repo.markdown import sections
from tests.repo.repository import text


def test_every_preset_has_a_server() -> None:
    """The matrix has a server for each preset, and no preset that does not exist."""
    tried = {server.preset for server in ALL_SERVERS} - {"-"}

    assert set(preset_names()) == tried


def test_the_page_names_what_each_preset_was_tried_against() -> None:
    """The table of the page has each preset once, and names no package for a server that is made here."""
    section = sections(text("docs/guides/presets.md"))["What each was tried against"]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    documented = {server.preset for server in ALL_SERVERS if server.name == "documentation"}

    assert sorted(preset_names()) == sorted(name for names, _ in rows for name in re.findall(r"`([^`]+)`", names))
    assert documented == {
        name for names, tried in rows if "documentation" in tried for name in re.findall(r"`([^`]+)`", names)
    }
