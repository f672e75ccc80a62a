"""The layout: a unit test is where its module is, names have a meaning, services have the same parts."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

from tests.repo.repository import ROOT, modules, relative, text

MEANINGLESS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "tools", "shared"}
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def unit_tests(module: Path) -> list[Path]:
    """Return the unit tests of a module: ``test_<module>.py``, or ``test_<module>_<topic>.py`` of several topics."""
    below = module.relative_to(ROOT / "services")
    folder = ROOT / "tests" / "unit" / below.parent
    return sorted([*folder.glob(f"test_{below.stem}.py"), *folder.glob(f"test_{below.stem}_*.py")])


@cache
def imported_by_unit_tests() -> frozenset[str]:
    """Return the dotted names of everything that a unit test imports."""
    found = set()
    for test in modules("tests/unit"):
        for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


@pytest.mark.parametrize(
    "module", [path for path in modules("services") if not path.name.startswith("__")], ids=relative
)
def test_every_module_is_tested(module: Path) -> None:
    """Every module has a unit test beside it or is imported by one; integration tests start the entry points."""
    name = relative(module).removesuffix(".py").replace("/", ".")

    assert unit_tests(module) or name in imported_by_unit_tests(), f"no unit test of {name}"


def test_every_unit_test_has_its_module() -> None:
    """A unit test is in the folder that mirrors its module's; one whose module is gone is moved or removed."""
    mirrored = {test for module in modules("services") for test in unit_tests(module)}
    tests = {path for path in modules("tests/unit") if path.name.startswith("test_")}

    assert not sorted(map(relative, tests - mirrored))


@pytest.mark.parametrize(
    "path",
    [*modules("services"), *modules("tests"), *modules("chaos"), *modules("benchmarks"), *modules("tools")],
    ids=relative,
)
def test_module_names_have_a_meaning(path: Path) -> None:
    """No module has a name without meaning: such a module attracts unrelated code."""
    assert path.stem.removeprefix("test_") not in MEANINGLESS


def test_services_have_the_same_parts() -> None:
    """Every service has an entry point, settings and an app, so that knowing one service is knowing three."""
    expected = {"__init__.py", "__main__.py", "settings.py", "app.py"}

    for service in ("server", "client", "collector"):
        assert expected <= {path.name for path in (ROOT / "services" / service).iterdir()}, service


@pytest.mark.parametrize("path", modules("services"), ids=relative)
def test_import_root_is_services(path: Path) -> None:
    """A module imports modules of this repository by their path from the root."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {folder.name for folder in (ROOT / "services").iterdir() if folder.is_dir()}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert not {name for name in imported if name.split(".")[0] in ours | {"", "tests"}}


@pytest.mark.parametrize(
    "test", [path for path in [*modules("tests"), *modules("chaos")] if path.name.startswith("test_")], ids=relative
)
def test_every_test_has_a_sentence(test: Path) -> None:
    """Every test has a docstring whose first line is a sentence, and no two tests of a module have the same name."""
    tree = ast.parse(test.read_text(encoding="utf-8"))
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    silent = [node.name for node in tests if not re.match(r"\S.*[.?!…]", ast.get_docstring(node) or "")]

    assert not silent
    assert len(tests) == len({node.name for node in tests}), "two tests of one name: only the last one runs"


@pytest.mark.parametrize("package", ["contract", "runtime"])
def test_error_tree_matches_docstring(package: str) -> None:
    """The docstring of a module of errors draws the tree of classes that the module defines."""
    module = importlib.import_module(f"services.{package}.errors")
    defined = {
        name: found.__bases__[0].__name__
        for name, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__
    }
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = [(-1, "Exception")]
    for line in (module.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+)( |$)", line.removeprefix("    "))
        if found and line.startswith("    "):
            while above[-1][0] >= len(found[1]):
                above.pop()
            drawn[found[2]] = above[-1][1]
            above.append((len(found[1]), found[2]))

    assert defined == drawn


@pytest.mark.parametrize("path", REQUIREMENTS, ids=relative)
def test_requirements_are_pinned(path: Path) -> None:
    """Every package is pinned to one version and its hashes, so that no other file can be installed."""
    joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    assert lines
    assert not [
        line for line in lines if not re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=relative)
def test_requirements_name_no_index(path: Path) -> None:
    """No file names a package index: that is a setting of the machine."""
    assert not re.findall(r"^\s*(?:-i|-f|--\S*(?:index|links|host)\S*)", text(relative(path)), flags=re.MULTILINE)


def test_requirements_are_one_per_image() -> None:
    """There is one file for each image, one for developers, and four for engines that no image needs by default."""
    expected = ["client", "collector", "dev", "engines", "kubernetes", "nats", "podman", "server"]
    assert expected == [path.stem for path in REQUIREMENTS]
