"""Tests of reading schemas from TOML files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.server.feed.record_schema import NAMED, BadSchema, Field, load

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the schema file `mine.toml` and returns its path."""

    def written(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return written


def problems(source: str) -> list[str]:
    """Return the mistakes of a schema without the prefix that names it."""
    with pytest.raises(BadSchema) as caught:
        load(source)
    prefix = f"SCHEMA={source!r}: "
    assert all(problem.startswith(prefix) and "\n" not in problem for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def test_named_schemas() -> None:
    """The named schemas can be loaded without a file of the user."""
    assert ["order", "person", "sensor"] == sorted(NAMED)
    for name in NAMED:
        assert (name, name, None) == (load(name).source, load(name).name, load(name).size)
    assert [["name", "email", "phone"], ["job", "company"], ["street", "city", "country"], ["text"]] == [
        [field.name for field in group] for group in load("person").groups
    ]


def test_a_schema_file(write: Write) -> None:
    """A file has single fields and groups, in its own order, and arguments keep their TOML types."""
    source = write("""
        size = 512
        [together.address]
        street = "street_address"
        city = "city"
        [fields]
        price = { provider = "pydecimal", left_digits = 3, positive = true }
        name = "name"
    """)
    loaded = load(source)

    assert (source, "mine", 512) == (loaded.source, loaded.name, loaded.size)
    assert (
        (Field("street", "street_address", {}), Field("city", "city", {})),
        (Field("price", "pydecimal", {"left_digits": 3, "positive": True}),),
        (Field("name", "name", {}),),
    ) == loaded.groups


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("persn", "expected order, person, sensor or a .toml file; did you mean person?"),
        ("xyz", "expected order, person, sensor or a .toml file"),
        ("no/such.toml", "cannot be read: No such file or directory"),
        (
            "/dev/null/such.toml",
            "cannot be read: Not a directory; a release's compose file mounts the folder that SCHEMAS names",
        ),
    ],
)
def test_an_unknown_schema_is_reported(source: str, expected: str) -> None:
    """An unknown schema is an error that lists the known ones."""
    assert [expected] == problems(source)


def test_an_unreadable_file_is_reported(write: Write, tmp_path: Path) -> None:
    """Invalid TOML is reported with line and column, an unreadable file with the reason."""
    assert ["is not TOML: Expected '=' after a key in a key/value pair (at line 2, column 6)"] == problems(
        write("[fields]\nname \n")
    )
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    assert problems(str(tmp_path / "latin.toml"))[0].startswith("is not TOML: 'utf-8' codec")
    (tmp_path / "folder.toml").mkdir()
    assert ["cannot be read: Is a directory"] == problems(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 'has no fields: expected a table [fields], such as name = "name"'),
        ("[fields]", 'has no fields: expected a table [fields], such as name = "name"'),
        ('[field]\nname = "name"', "no section is called 'field'; did you mean fields?"),
        ('size = 0\n[fields]\nname = "name"', "size 0: expected a number of bytes up to 65536"),
        ('size = 65537\n[fields]\nname = "name"', "size 65537: expected a number of bytes up to 65536"),
        ('size = true\n[fields]\nname = "name"', "size True: expected a number of bytes up to 65536"),
        ('size = "big"\n[fields]\nname = "name"', "size 'big': expected a number of bytes up to 65536"),
        ("fields = 5", "fields: expected a table, [fields]"),
        ("[together]\nname = 5", "together.name: expected a table, [together.name]"),
        ('[fields]\nid = "pyint"', "field id: is reserved for the number of the record"),
        ('size = 99\n[fields]\npad = "name"', "field pad: is reserved for the padding up to `size`"),
        ('[fields]\nx = "name"\n[together.y]\nx = "city"', "field x: is defined twice"),
        ("[fields]\nx = 5", 'field x: expected a provider, as in x = "name" or x = { provider = "name" }'),
        ("[fields]\nx = { min = 5 }", 'field x: expected a provider, as in x = "name" or x = { provider = "name" }'),
    ],
)
def test_mistakes_are_reported(write: Write, text: str, expected: str) -> None:
    """Each mistake in a schema is reported in one line."""
    assert expected in problems(write(text))


def test_all_mistakes_are_reported_together(write: Write) -> None:
    """One error lists all mistakes of a schema."""
    found = problems(write('size = -1\nseed = 4\n[fields]\nid = "name"\nx = []'))

    assert 4 == len(found)
