"""The documents specify the formats: every field, its type and its limits are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from services.collector.verdict.checks import CHECKS, EXTERNAL_CHECKS, FAILING, INVALIDATING
from services.contract import blocklog, ledger, nodes, summary, timeline, wire
from services.contract.feed_description import FeedDescription
from services.contract.sequence_rules import SequenceRules
from tests.repo.markdown import plain, prose, rows, section_of
from tests.repo.repository import documents, relative, text

FRAMES = list(dict.fromkeys([*wire.FromServer.__args__, *wire.FromClient.__args__]))
SUMMARY_PARTS = {
    "summary.json": summary.Summary,
    "checks": summary.Check,
    "thresholds": summary.Threshold,
    "totals": summary.Totals,
    "latency_ns": summary.Quantiles,
    "instrument_ns": summary.InstrumentShare,
    "silence": summary.Silence,
    "clients": summary.ClientSummary,
    "connections": summary.Connections,
    "last": summary.Connection,
    "missing_by_cause": summary.Causes,
    "faults": summary.Fault,
    "timeline.json": timeline.Timeline,
    "slots": timeline.TimeSlot,
    "lanes": timeline.ClientLane,
    "bars": timeline.Bar,
    "gaps": timeline.Gap,
    "marks": timeline.TimelineEvent,
}

DESCRIBED = [
    *(("docs/formats/wire.md", frame.__struct_config__.tag, frame) for frame in FRAMES),
    *(("docs/formats/block-log.md", kind.__struct_config__.tag, kind) for kind in blocklog.OwnLine.__args__),
    ("docs/formats/block-log-external.md", "external", FeedDescription),
    ("docs/formats/block-log-external.md", "sequence", SequenceRules),
    ("docs/formats/block-log-external.md", "block", blocklog.ExternalBlock),
    ("docs/formats/block-log-external.md", "messages", blocklog.ExternalMessage),
    ("docs/formats/block-log-external.md", "connection", blocklog.ConnectionLine),
    ("docs/formats/block-log.md", "messages", blocklog.OwnMessage),
    ("docs/formats/block-log.md", "torn", blocklog.Torn),
    ("docs/formats/block-log.md", "stalls", blocklog.Stall),
    *(("docs/formats/ledger.md", kind.__struct_config__.tag, kind) for kind in ledger.Entry.__args__),
    *(("docs/formats/summary.md", part, struct) for part, struct in SUMMARY_PARTS.items()),
    ("docs/formats/nodes.md", "node", nodes.NodeInfo),
    ("docs/formats/nodes.md", "files", nodes.NodeListing),
    ("docs/formats/nodes.md", "file", nodes.NodeFile),
    ("docs/formats/nodes.md", "record", nodes.PulledRun),
    ("docs/formats/nodes.md", "pulled", nodes.PulledNode),
]

every_part = pytest.mark.parametrize(
    ("document", "part", "struct"),
    [pytest.param(*one, id=f"{one[0]}:{one[1]}") for one in DESCRIBED],
)


def described(document: str, part: str) -> dict[str, list[str]]:
    """Return the rows that describe the fields of a part of a format."""
    return {plain(row[0]): row for row in rows(section_of(text(document), part)) if row[0].startswith("`")}


def is_nullable(kind: inspect.Type) -> bool:
    """Return whether a field of this type may be null."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(one, inspect.NoneType) for one in kinds)


def fields(struct: Any) -> tuple[inspect.Field, ...]:
    """Return the fields of a part of a format."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info.fields


def is_left_out(field: inspect.Field) -> bool:
    """Return whether a field is absent unless it is set: it has a default, which is no value."""
    return not field.required and field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT


def traits(struct: Any, document: str) -> dict[str, tuple[bool, bool]]:
    """Return for every field whether it may be null and whether it may be left out."""
    # `v` is always written, and a summary has all fields that do not say otherwise: there a default only helps to make
    # one.
    complete = document == "docs/formats/summary.md"
    written = {field.name for field in fields(struct) if field.required or field.name == "v"}
    written |= {field.name for field in fields(struct) if complete and not is_left_out(field)}
    return {field.name: (is_nullable(field.type), field.name not in written) for field in fields(struct)}


def choices(kind: inspect.Type) -> set[str]:
    """Return the words that a field of a fixed choice accepts."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return {
        word for one in kinds if isinstance(one, inspect.LiteralType) for word in one.values if isinstance(word, str)
    }


@every_part
def test_every_field_is_described(document: str, part: str, struct: Any) -> None:
    """A part of a format has a section with a table of exactly its fields, in their order, each with four columns."""
    table = described(document, part)

    assert list(struct.__struct_fields__) == list(table)
    assert all(len(row) == 4 and row[1] and row[3] for row in table.values())


@every_part
def test_optional_fields_are_marked(document: str, part: str, struct: Any) -> None:
    """Exactly the fields that may be null or left out are marked so."""
    found = {name: ("null" in row[1], "optional" in row[1]) for name, row in described(document, part).items()}

    assert traits(struct, document) == found


@every_part
def test_every_word_is_described(document: str, part: str, struct: Any) -> None:
    """The row of a field with a fixed choice of words names all of them."""
    table = described(document, part)

    for field in fields(struct):
        missing = {word for word in choices(field.type) if f"`{word}`" not in " ".join(table[field.name])}
        assert not missing, field.name


def test_every_check_is_described() -> None:
    """Every check has a row, in the order in which the checks run, with the verdict that a no leads to."""
    table = {row[0]: row[2] for row in rows(section_of(text("docs/formats/summary.md"), "checks")) if len(row) == 3}

    assert {**EXTERNAL_CHECKS, **CHECKS}.keys() == table.keys()
    assert [name for name in table if name in EXTERNAL_CHECKS] == [*EXTERNAL_CHECKS]
    assert {name for name, verdict in table.items() if verdict == "FAIL"} == {*FAILING}
    assert {name for name, verdict in table.items() if verdict == "INVALID"} == {*INVALIDATING}


@pytest.mark.parametrize("document", ["docs/formats/block-log.md", "docs/formats/ledger.md"])
def test_first_fields_of_every_line_are_described(document: str) -> None:
    """The document describes the four fields with which every line begins."""
    table = rows(section_of(text(document), "crc"))

    assert [row[0] for row in table] == ["`crc`", "`prev`", "`v`", "`kind`"]


def test_versions_are_named() -> None:
    """Every document names the version of the format that it describes."""
    for name, version in (("wire", 1), ("block-log", 1), ("ledger", 1), ("summary", 1)):
        assert f"version {version}" in text(f"docs/formats/{name}.md").partition("\n## ")[0]

    assert {1} == {wire.VERSION, blocklog.VERSION, ledger.VERSION, summary.VERSION}
    assert f"version {blocklog.EXTERNAL_VERSION}" in text("docs/formats/block-log-external.md").partition("\n## ")[0]


def test_close_codes_are_described() -> None:
    """Every close code is in the document, and no other."""
    codes = {value for name, value in vars(wire).items() if name.startswith("CLOSE_")}
    described = {int(plain(row[0])) for row in rows(text("docs/formats/wire.md")) if plain(row[0]).isdecimal()}

    assert codes == described


def test_sizes_are_described() -> None:
    """The limits of frames, records and segments are in their documents."""
    found = text("docs/formats/wire.md")

    for limit in (wire.MAX_FRAME, wire.MAX_RECORD, wire.MAX_CLIENT_FRAME):
        assert f"{limit // 1024} KiB" in found

    assert f"{blocklog.SEGMENT_BYTES // 1024**2} MiB" in text("docs/formats/block-log.md")
    assert f"{blocklog.MAX_BLOCK:,} messages" in text("docs/formats/block-log.md")


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link within the repository leads to a file that exists."""
    found = prose(path.read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", found)]
    missing = [target for target in targets if target and ":" not in target and not (path.parent / target).exists()]

    assert not missing


def anchors(document: str) -> set[str]:
    """Return the anchors of a page: its headings as GitHub spells them, and its explicit ones."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"', document))


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_anchors_exist(path: Path) -> None:
    """A link to a section of a page leads to a heading of that page."""
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if anchor and ":" not in target and page.suffix == ".md" and anchor not in anchors(page.read_text("utf-8")):
            missing.append(target)

    assert not missing


def test_changelog_is_kept() -> None:
    """The changelog has the form of Keep a Changelog, newest first, with the versions of the formats in each part."""
    releases = re.split(r"^## ", text("CHANGELOG.md"), flags=re.MULTILINE)[1:]
    heads = [release.partition("\n")[0] for release in releases]
    kinds = {kind for release in releases for kind in re.findall(r"^### (.+)$", release, flags=re.MULTILINE)}
    formats = [f"wire {wire.VERSION}", f"block log {blocklog.VERSION}", f"ledger {ledger.VERSION}"]

    assert text("CHANGELOG.md").startswith("# Changelog\n")
    assert "Keep a Changelog" in text("CHANGELOG.md")
    assert heads
    assert all(re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", head) for head in heads)
    assert kinds <= {"Security", "Removed", "Deprecated", "Added", "Changed", "Fixed"}
    assert all(name in releases[0] for name in [*formats, f"summary {summary.VERSION}"])
    assert all("Formats:" in release for release in releases)
