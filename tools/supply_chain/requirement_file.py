"""Reads a requirements file that ``make requirements`` has compiled. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from packaging.markers import Marker
from packaging.utils import canonicalize_name

LINUX = {
    "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "python_version": "3.13",
    "python_full_version": "3.13.0",
}  # fmt: skip
"""The environment of the images, by the names of markers; the rest is that of this interpreter."""

_HEAD = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"#\s+(?:via\s+)?([A-Za-z0-9][A-Za-z0-9._-]*)$")


@dataclass
class Requirement:
    """A pinned package.

    Attributes:
        name: canonical name.
        version: exact version.
        marker: condition under which it is installed; empty for always.
        sha256: hashes of its files, of which one is installed.
        needed_by: canonical names of the packages that need it; empty if the project itself does.
    """

    name: str
    version: str
    marker: str = ""
    sha256: list[str] = field(default_factory=list)
    needed_by: list[str] = field(default_factory=list)

    @property
    def is_in_images(self) -> bool:
        """Whether it is installed on Linux."""
        return not self.marker or Marker(self.marker).evaluate(LINUX)


class UnpinnedLine(ValueError):
    """A line of a requirements file is neither a pinned package nor one of its hashes."""


def parse(text: str) -> Sequence[Requirement]:
    """Return the packages of a file.

    Raises:
        UnpinnedLine: a line names a package without an exact version, or an option.
    """
    found: list[Requirement] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if head := _HEAD.match(line):
            found.append(Requirement(canonicalize_name(head[1]), head[2], (head[3] or "").strip()))
        elif found and (digest := _HASH.match(stripped)):
            found[-1].sha256.append(digest[1])
        elif stripped.startswith("#"):
            # A name alone is that of a package; the project itself is followed by its file and group.
            if found and line.startswith(" ") and (via := _VIA.match(stripped)):
                found[-1].needed_by.append(canonicalize_name(via[1]))
        elif stripped:
            raise UnpinnedLine(f"line {number}: {stripped}")
    for requirement in found:
        requirement.needed_by = [name for name in requirement.needed_by if name != "via"]
    return found
