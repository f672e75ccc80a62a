"""The architecture page names real folders, files and functions."""

from __future__ import annotations

import ast
import re

import pytest

from tests.repo.repository import ROOT, modules, text

PAGE = text("docs/architecture.md")
FOLDERS = r"(?:services|tests|chaos|benchmarks|tools|deploy|schemas|feeds|docs)/"
FUNCTIONS = re.findall(rf"`({FOLDERS}[\w/]+\.py): ([\w.]+)`", PAGE)
PATHS = sorted(set(re.findall(rf"`({FOLDERS}[\w/.-]*)`", PAGE)))
STEPS = re.findall(r"^\d+\. `([\w/]+\.py): [\w.]+`(.*)$", PAGE, flags=re.MULTILINE)


def definitions(path: str) -> set[str]:
    """Return the functions and classes of a module, and the methods as ``Class.method``."""
    names = set()
    for node in ast.parse(text(path)).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            names |= {
                f"{node.name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return names


@pytest.mark.parametrize(("path", "name"), FUNCTIONS, ids=[f"{path}:{name}" for path, name in FUNCTIONS])
def test_function_exists(path: str, name: str) -> None:
    """A function that the walk of a record names is defined in that file."""
    assert (ROOT / path).is_file(), f"{path} does not exist"
    assert name in definitions(path)


@pytest.mark.parametrize("path", PATHS)
def test_path_exists(path: str) -> None:
    """A file or folder that the page names exists."""
    assert (ROOT / path).exists()


def test_walk_visits_every_service() -> None:
    """The walk names functions of server, client, collector and contract."""
    assert {"server", "client", "collector", "contract"} <= {path.split("/")[1] for path, _ in FUNCTIONS}


def test_record_returns_to_a_module_only_with_a_reason() -> None:
    """The record comes back to a module that it has left in three steps at most, and each of them says why."""
    visited: list[str] = []
    returns = []
    for path, sentence in STEPS:
        if path in visited[:-1] and visited[-1] != path:
            returns.append(path)
            assert "This is a return: " in sentence, path
        visited.append(path)

    assert len(STEPS) > 30
    assert len(returns) == 3


def test_every_folder_is_in_the_map() -> None:
    """Every folder below services/ that has modules has a row in the module map, and no other folder has one."""
    holding = {path.parent for path in modules("services") if path.name not in ("__init__.py", "__main__.py")}
    mapped = re.findall(r"^\| `(services/[\w/]+/)` \|", PAGE, flags=re.MULTILINE)

    assert sorted(f"{folder.relative_to(ROOT).as_posix()}/" for folder in holding) == sorted(mapped)


def test_modules_to_start_at_exist() -> None:
    """The modules at which a reader of a folder should start are in that folder."""
    for folder, names in re.findall(r"^\| `(services/[\w/]+/)` \|.*\| ([^|]+) \|$", PAGE, flags=re.MULTILINE):
        missing = [name for name in re.findall(r"`(\w+\.py)`", names) if not (ROOT / folder / name).is_file()]
        assert not missing, folder


def test_twenty_questions_are_answered() -> None:
    """At least twenty questions have a file as their answer."""
    rows = re.findall(r"^\| .+\? \| (`services/.+) \|$", PAGE, flags=re.MULTILINE)

    assert len(rows) >= 20
