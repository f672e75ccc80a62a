"""What a record is made of: fields, each drawn by one of Faker's providers, as a TOML file says it.

The schemas that have a name are such files too, in ``schemas/`` beside this module.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from services.contract.wire import MAX_RECORD
from services.runtime.cli import suggest
from services.runtime.errors import BadSettings

NAMED = {path.stem: path for path in sorted((Path(__file__).parent / "schemas").glob("*.toml"))}
ID, PAD = "id", "pad"
_PARTS = ("size", "fields", "together")


class Field(NamedTuple):
    """One field of a record: the provider that draws it, and what that is told."""

    name: str
    provider: str
    arguments: Mapping[str, Any]


class Schema(NamedTuple):
    """A schema as it was read: ``groups`` of fields that are drawn together, and the ``size`` of records in bytes.

    A ``size`` of None leaves them as long as they are.
    """

    source: str
    name: str
    groups: tuple[tuple[Field, ...], ...]
    size: int | None


class BadSchema(BadSettings):
    """A schema that cannot be used; ``problems`` holds one line for each thing that is wrong with it."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        super().__init__([f"SCHEMA={source!r}: {problem}" for problem in problems])


def load(source: str) -> Schema:
    """Read a schema: one that has a name, or a TOML file.

    Raises:
        BadSchema: with all that is wrong.
    """
    path = NAMED.get(source)
    if path is None:
        if not source.endswith(".toml"):
            raise BadSchema(source, [f"expected {', '.join(NAMED)} or a .toml file{_meant(source, NAMED)}"])
        path = Path(source)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BadSchema(source, [f"cannot be read: {problem.strerror}"]) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadSchema(source, [f"is not TOML: {problem}"]) from problem
    return _schema(source, path.stem, document)


def _schema(source: str, name: str, document: Mapping[str, Any]) -> Schema:
    problems = [f"no part is called {part!r}{_meant(part, _PARTS)}" for part in document if part not in _PARTS]
    size = document.get("size")
    if size is not None and (type(size) is not int or not 0 < size <= MAX_RECORD):
        problems.append(f"size {size!r}: expected a number of bytes up to {MAX_RECORD}")
    groups: list[tuple[Field, ...]] = []
    for part, table in document.items():
        if part in ("fields", "together") and not isinstance(table, dict):
            problems.append(f"{part}: expected a table, [{part}]")
        elif part == "fields":
            groups += [(field,) for field in _fields(part, table, problems)]
        elif part == "together":
            groups += [tuple(_fields(f"together.{key}", group, problems)) for key, group in table.items()]
    names = [field.name for group in groups for field in group]
    problems += [f"field {name}: is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    problems += [f"field {ID}: is the number of the record, and is there by itself"] if ID in names else []
    problems += [f"field {PAD}: is what fills the record up to its size"] if size and PAD in names else []
    if not names and not problems:
        problems.append('has no field: expected a table [fields], such as name = "name"')
    if problems:
        raise BadSchema(source, problems)
    return Schema(source, name, tuple(group for group in groups if group), size)


def _fields(part: str, table: Any, problems: list[str]) -> list[Field]:
    """Return the fields of a table, and add what is wrong with it to ``problems``."""
    if not isinstance(table, dict):
        problems.append(f"{part}: expected a table, [{part}]")
        return []
    fields = []
    for name, said in table.items():
        told = {"provider": said} if isinstance(said, str) else said
        if not isinstance(told, dict) or not isinstance(told.get("provider"), str):
            problems.append(
                f'field {name}: expected a provider, as in {name} = "name" or {name} = {{ provider = "name" }}'
            )
            continue
        fields.append(Field(name, told["provider"], {key: told[key] for key in told if key != "provider"}))
    return fields


def _meant(name: str, names: Iterable[str]) -> str:
    """Return a question after what was meant, when that can be guessed."""
    hint = suggest(name, names)
    return hint and f"; {hint}"
