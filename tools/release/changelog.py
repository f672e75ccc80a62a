"""The section of a release in the changelog. Pure."""

from __future__ import annotations

import datetime as dt
import re


class BadSection(Exception):
    """The changelog has no complete section of a version. `fault` says what is missing."""

    def __init__(self, version: str, fault: str) -> None:
        super().__init__(f"CHANGELOG.md, {version}: {fault}")
        self.version, self.fault = version, fault


def section(changelog: str, version: str) -> str:
    """Return the text below the heading of a version, without the heading.

    Raises:
        BadSection: the version has no heading with a date, or no line with the versions of its formats.
    """
    found = re.search(rf"^## \[{re.escape(version)}\]([^\n]*)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise BadSection(version, "there is no such section")
    try:
        dt.date.fromisoformat(found[1].removeprefix(" - "))
    except ValueError:
        raise BadSection(version, f"the heading ends in {found[1]!r}, expected ' - 2026-11-29'") from None
    if not re.search(r"^Formats: ", found[2], re.MULTILINE):
        raise BadSection(version, "no line names the versions of the formats")
    return found[2].strip() + "\n"


def with_links_to(text: str, source: str) -> str:
    """Return Markdown whose links to files of the repository lead to `source`, an address that ends in ``/``."""
    return re.sub(r"\]\((?!https?:|#)", f"]({source}", text)
