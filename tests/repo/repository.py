"""Reads the repository's files for its tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("server", "client", "collector")
"""The containers that stay up, in the order in which the data flows."""
ENGINES = ("nats",)
"""Other software that servers may use, which only the profile with its name starts."""
MONITORING = ("prometheus", "grafana")
"""Containers of other software, which only the profile with that name starts."""


def text(name: str) -> str:
    """Return the text of a file, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def relative(path: Path) -> str:
    """Return a file's path from the root."""
    return path.relative_to(ROOT).as_posix()


def modules(folder: str) -> list[Path]:
    """Return the Python modules below a folder."""
    return sorted((ROOT / folder).rglob("*.py"))


def documents() -> list[Path]:
    """Return the Markdown files that are documentation."""
    in_docs = ("docs", "docs/adr", "docs/conformance", "docs/formats", "docs/guides", "docs/reference")
    folders = ("", "deploy/kubernetes", *in_docs, "volumes")
    return sorted(path for folder in folders for path in (ROOT / folder).glob("*.md"))


def compose() -> dict[str, Any]:
    """Return the compose file with its anchors merged, variables as they are written."""
    found: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))
    return found


class _ComposeLoader(yaml.SafeLoader):
    """Reads a value with Compose's own tag as the value alone."""

    def untagged(self, node: yaml.Node) -> Any:
        """Return the value of a node with `!override`."""
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node)
        assert isinstance(node, yaml.MappingNode)
        return self.construct_mapping(node)


_ComposeLoader.add_constructor("!override", _ComposeLoader.untagged)


def compose_documents(name: str) -> list[dict[str, Any]]:
    """Return the documents of a compose file with their anchors merged, variables as they are written."""
    return list(yaml.load_all(text(name), _ComposeLoader))


def environment(service: str) -> dict[str, str]:
    """Return the variables that the compose file gives a service."""
    given: dict[str, Any] = compose()["services"][service].get("environment", {})
    return {name: str(value) for name, value in given.items()}


class Stage(NamedTuple):
    """One stage of a Dockerfile: its instructions, continued lines joined."""

    name: str
    base: str
    instructions: tuple[str, ...]

    def last(self, instruction: str) -> str | None:
        """Return the arguments of the last such instruction, None when there is none."""
        found = [line.split(None, 1)[1] for line in self.instructions if line.split(None, 1)[0] == instruction]
        return found[-1] if found else None


def stages(dockerfile: str) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name."""
    lines = [line for line in text(dockerfile).splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = re.split(r"^FROM (\S+) AS (\S+)$", joined, flags=re.MULTILINE)[1:]
    found = {}
    for base, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        found[name] = Stage(name, base, tuple(line for line in body.splitlines() if line.strip()))
    return found
