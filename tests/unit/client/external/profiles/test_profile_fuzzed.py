"""No text of a profile is more than a mistake of its operator: it is read, or refused in lines with their place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.client.external.profiles.profile import NAMES_BY_KEY, PRESETS, parse
from services.client.external.settings import read_feed
from services.client.feeds.profile_text import profile_text
from services.runtime.errors import BadSettings

FILE = "feeds/mine.toml"
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("{}$.[]'\"\\\n,:()*?^|0a \x1e", max_size=12),
    st.sampled_from(["$.a", "$$.b", "$[-1]", "wait:x", "wait 5s:(", "command:[", "binary:\\x", "close 1000", "gzip",
                     "length:4", "{a}", "{{a}}", "connection", "stream", "ws://a", "1", "0.5", "$.a ms", "a\nb"]),
)  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["send", "wait", "seconds", "file", "command", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [*NAMES_BY_KEY, "about", "sequence.numer", "variables.a.default", "variables.a.about", "x", "a.b"]
)
SEQUENCES = st.lists(
    st.sampled_from([*"[]{}=\"'\\\n#.,1", "[sequence]\n", "number = ", "'$.a'\n", '"""', "'''", "hello", " ", "[["]),
    max_size=14,
).map("".join)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a document by their dotted keys."""
    document: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, name = key.split(".")
        inner = document
        for table in tables:
            inner = inner.setdefault(table, {})
        if isinstance(inner, dict):
            inner[name] = value
    return document


def check_refusal(refused: BadSettings) -> None:
    """Check that all problems are lines with a file and a line."""
    assert refused.problems
    for problem in refused.problems:
        assert re.match(rf"{re.escape(FILE)}:\d+: |FEED", problem), problem
        assert "\n" not in problem, problem
        assert problem.isprintable(), problem


@given(st.text() | SEQUENCES)
@example("hello = [{ send = 'a' }, { wait = 1 }]")
@example('a = "\\ud800"')
@example("'' = 1")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text is a profile, or is refused in single lines with file and line."""
    try:
        parse(FILE, FILE, text.encode("utf-8", "surrogatepass"))
    except BadSettings as refused:
        check_refusal(refused)


@given(st.dictionaries(KEYS, VALUES, max_size=4).map(nested))
def test_any_value_is_read_or_refused(document: dict[str, Any]) -> None:
    """Any value of any key is taken, or refused in single lines with file and line."""
    try:
        parse(FILE, FILE, profile_text(document).encode("utf-8", "replace")).filled({"a": "b"})
    except BadSettings as refused:
        check_refusal(refused)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.dictionaries(KEYS, VALUES, max_size=4).map(nested))
def test_any_profile_becomes_settings(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile becomes the settings of a client, or its mistakes are single lines with file and line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "feeds").mkdir(exist_ok=True)
    (tmp_path / FILE).write_text(profile_text(document), encoding="utf-8", errors="replace")
    try:
        read_feed({"FEED": FILE, "SERVER_URL": "ws://a"})
    except BadSettings as refused:
        for problem in refused.problems:
            assert "\n" not in problem, problem


@given(data=st.data(), name=st.sampled_from(sorted(path.name for path in PRESETS.glob("*.toml"))))
def test_any_damage_to_a_preset_is_read_or_refused(data: st.DataObject, name: str) -> None:
    """A preset with characters removed, doubled or replaced is a profile, or is refused in single lines."""
    text = (PRESETS / name).read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 5))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", "'", '"', "[", "]", "\n", "=", "é", text[at : at + 3]]))
            + text[at + length :]
        )
    try:
        parse(FILE, FILE, text.encode())
    except BadSettings as refused:
        check_refusal(refused)
