"""Compose files that need no checkout, from those of the repository. Pure: text in, text out.

A file keeps its lines, comments and order. Images take the place of builds, services that read files of the checkout
are left out, and folders in which the operator may have files of their own are mounted only if they are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

IMAGE = re.compile(r"^( +image: )(streamgauge-[a-z]+)\b.*$")
BUILD = re.compile(r"^ +(build|pull_policy):")
FILES_OF_THE_CHECKOUT = re.compile(r"source: \./(deploy|docs)/")
UNMOUNTED = "/dev/null"
"""What is mounted in the place of a folder that the operator does not name: Compose has no optional mounts."""
OWN_FOLDERS = {
    "source: ./schemas,": f'source: "${{SCHEMAS:-{UNMOUNTED}}}",',
    "source: ./feeds,": f'source: "${{FEEDS:-{UNMOUNTED}}}",',
    "source: ./secrets,": f'source: "${{SECRETS:-{UNMOUNTED}}}",',
    "source: ./secrets/client,": f'source: "${{SECRETS:-{UNMOUNTED}}}${{SECRETS:+/client}}",',
}


def released(text: str, header: str, prefix: str, version: str, left_out: Iterable[str] = ()) -> str:
    """Return a compose file for images alone.

    Args:
        text: the compose file of the repository.
        header: the comment in the place of the file's first comment.
        prefix: what precedes the names of images, such as ``ghcr.io/owner/``; the default of ``STREAMGAUGE_IMAGES``.
        version: the tag of the images.
        left_out: services that are left out although they read no files of the checkout.
    """
    _, *parts = _parts(text, "")
    kept = "".join(_released_part(part, set(left_out)) for part in parts)
    image = rf"\1${{STREAMGAUGE_IMAGES:-{prefix}}}\2:{version}"
    lines = [IMAGE.sub(image, line) for line in _without_builds(kept.splitlines())]
    return f"{header}\n\n" + _with_own_folders("\n".join(lines).rstrip() + "\n")


def services_left_out(text: str) -> set[str]:
    """Return the names of the services of a compose file that read files of the checkout."""
    return {_name(block) for block in _services(text) if FILES_OF_THE_CHECKOUT.search(block)}


def _services(text: str) -> Iterator[str]:
    for part in _parts(text, ""):
        if _name(part) == "services":
            yield from list(_parts(part, "  "))[1:]


def _released_part(part: str, left_out: set[str]) -> str:
    """Return a top-level part without what belongs to services that are left out."""
    if _name(part) == "volumes":  # of those services only
        return ""
    if _name(part) != "services":
        return part
    head, *blocks = _parts(part, "  ")
    kept = [one for one in blocks if not FILES_OF_THE_CHECKOUT.search(one) and _name(one) not in left_out]
    return head + "".join(kept)


def _name(part: str) -> str:
    """Return the key with which a part begins, after its comments."""
    found = re.search(r"^ *([\w-]+):", part, re.MULTILINE)
    return found[1] if found else ""


def _parts(text: str, indent: str) -> Iterator[str]:
    """Yield what precedes the first key with this indent, then each key with the comment above it."""
    starts = [match.start() for match in re.finditer(rf"^(?:{indent}#.*\n)*{indent}[\w-]+:", text, re.MULTILINE)]
    for start, end in zip([0, *starts], [*starts, len(text)], strict=True):
        yield text[start:end]


def _without_builds(lines: Iterable[str]) -> Iterator[str]:
    depth: int | None = None  # of the key whose lines are being left out
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if depth is not None and line.strip() and indent > depth:
            continue
        depth = indent if BUILD.match(line) else None
        if depth is None:
            yield line


def _with_own_folders(text: str) -> str:
    for of_checkout, named in OWN_FOLDERS.items():
        text = text.replace(of_checkout, named)
    return text
