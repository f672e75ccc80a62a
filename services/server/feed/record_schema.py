"""Record schemas: TOML files that list the fields of a record and the Faker provider of each.

The named schemas are files of the same kind, in ``schemas/`` beside this module, so there is one way to make records
and the files that users copy are those that run.
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
_SECTIONS = ("size", "fields", "together")


class Field(NamedTuple):
    """One field of a record: its name, the Faker provider that draws it, and the arguments of that provider."""

    name: str
    provider: str
    arguments: Mapping[str, Any]


class Schema(NamedTuple):
    """A schema as it was read.

    Attributes:
        source: the name or path that the operator gave.
        name: of the schema; a file is known by its name and not its folder, so moving it changes no record.
        groups: fields, in groups that are drawn together.
        size: bytes to which every record is padded; None for no padding.
    """

    source: str
    name: str
    groups: tuple[tuple[Field, ...], ...]
    size: int | None


class BadSchema(BadSettings):
    """A schema cannot be used; ``problems`` holds one line for each mistake."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        super().__init__([f"SCHEMA={source!r}: {problem}" for problem in problems])


def load(source: str) -> Schema:
    """Read a named schema or a TOML file.

    Args:
        source: a name, or a path that ends in ``.toml``.

    Raises:
        BadSchema: with all mistakes.
    """
    path = NAMED.get(source)
    if path is None:
        if not source.endswith(".toml"):
            raise BadSchema(source, [f"expected {', '.join(NAMED)} or a .toml file{_suggestion(source, NAMED)}"])
        path = Path(source)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        # A release's compose file mounts /dev/null if no folder is named.
        is_unmounted = isinstance(problem, NotADirectoryError)
        hint = "; a release's compose file mounts the folder that SCHEMAS names" if is_unmounted else ""
        raise BadSchema(source, [f"cannot be read: {problem.strerror}{hint}"]) from problem
    except (ValueError, RecursionError) as problem:  # not TOML, not UTF-8, or an integer of thousands of digits
        raise BadSchema(source, [f"is not TOML: {problem}"]) from problem
    return _schema(source, path.stem, document)


def _schema(source: str, name: str, document: Mapping[str, Any]) -> Schema:
    problems = [
        f"no section is called {part!r}{_suggestion(part, _SECTIONS)}" for part in document if part not in _SECTIONS
    ]
    size = document.get("size")
    # Not isinstance: a bool is an int, and `size = true` is a mistake.
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
    problems += [
        f"field {name}: is defined twice" for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [f"field {ID}: is reserved for the number of the record"] if ID in names else []
    problems += [f"field {PAD}: is reserved for the padding up to `size`"] if size and PAD in names else []
    if not names and not problems:
        problems.append('has no fields: expected a table [fields], such as name = "name"')
    if problems:
        raise BadSchema(source, problems)
    return Schema(source, name, tuple(group for group in groups if group), size)


def _fields(part: str, table: Any, problems: list[str]) -> list[Field]:
    """Return the fields of a table, and add its mistakes to ``problems``."""
    if not isinstance(table, dict):
        problems.append(f"{part}: expected a table, [{part}]")
        return []
    fields = []
    for name, value in table.items():
        # `name = "provider"` is short for `name = { provider = "provider" }`.
        options = {"provider": value} if isinstance(value, str) else value
        if not isinstance(options, dict) or not isinstance(options.get("provider"), str):
            problems.append(
                f'field {name}: expected a provider, as in {name} = "name" or {name} = {{ provider = "name" }}'
            )
            continue
        arguments = {key: option for key, option in options.items() if key != "provider"}
        fields.append(Field(name, options["provider"], arguments))
    return fields


def _suggestion(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean …?" with the closest name, empty if none is close."""
    hint = suggest(name, names)
    return hint and f"; {hint}"
