"""The folders say what is where: the path of a test is the path of what it tests, and no name says nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from tests.repo.repository import ROOT, modules, relative, text

NO_UNIT_TEST = {
    "__init__.py": "holds no code",
    "__main__.py": "wires settings to the app; what it starts is tested by starting it, in tests/integration",
}
"""Edges, by file name or by path, and why no unit test mirrors them."""

SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "tools", "shared"}
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def unit_tests(module: Path) -> list[Path]:
    """Return the unit tests of a module: ``test_<module>.py``, or ``test_<module>_<topic>.py`` of several topics."""
    below = module.relative_to(ROOT / "services")
    folder = ROOT / "tests" / "unit" / below.parent
    return sorted([*folder.glob(f"test_{below.stem}.py"), *folder.glob(f"test_{below.stem}_*.py")])


def needs_a_test(module: Path) -> bool:
    """Tell whether a module has no argued exemption."""
    return not {module.name, relative(module)} & NO_UNIT_TEST.keys()


@pytest.mark.parametrize("module", [path for path in modules("services") if needs_a_test(path)], ids=relative)
def test_every_module_has_its_unit_test(module: Path) -> None:
    """A module is tested by the file of the same name at the same place below tests/unit."""
    assert unit_tests(module), f"{relative(module)} has no unit test"


@pytest.mark.parametrize(
    "test", [path for path in modules("tests/unit") if path.name.startswith("test_")], ids=relative
)
def test_every_unit_test_has_its_module(test: Path) -> None:
    """A unit test stands where its module stands; one that outlived its module is removed with it."""
    assert test in {test for module in modules("services") for test in unit_tests(module)}


def test_exemptions_are_needed() -> None:
    """An exemption is of a module that exists and has no unit test."""
    exempt = [module for module in modules("services") if not needs_a_test(module)]
    used = {key for module in exempt if not unit_tests(module) for key in (module.name, relative(module))}

    assert not NO_UNIT_TEST.keys() - used


@pytest.mark.parametrize(
    "path",
    [*modules("services"), *modules("tests"), *modules("chaos"), *modules("benchmarks"), *modules("tools")],
    ids=relative,
)
def test_names_say_what_is_inside(path: Path) -> None:
    """No module is named after having no name, for such a module attracts everything."""
    assert path.stem.removeprefix("test_") not in SAYS_NOTHING


def test_services_are_built_alike() -> None:
    """Every service has a start, settings and an app: who knows one knows three."""
    expected = {"__init__.py", "__main__.py", "settings.py", "app.py"}

    for service in ("server", "client", "collector"):
        assert expected <= {path.name for path in (ROOT / "services" / service).iterdir()}, service


@pytest.mark.parametrize("path", modules("services"), ids=relative)
def test_import_root_is_services(path: Path) -> None:
    """Whatever a module imports of ours it imports by its path from the root."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {folder.name for folder in (ROOT / "services").iterdir() if folder.is_dir()}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert not {name for name in imported if name.split(".")[0] in ours | {"", "tests"}}


@pytest.mark.parametrize(
    "test", [path for path in [*modules("tests"), *modules("chaos")] if path.name.startswith("test_")], ids=relative
)
def test_every_test_says_what_it_shows(test: Path) -> None:
    """Every test has a sentence of its own, in the present tense, that ends like one."""
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
def test_errors_draw_their_tree(package: str) -> None:
    """The tree that a module of errors draws in its docstring is the tree that it defines."""
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
    """Every package is pinned to one version with its hashes, so that nothing else can be installed."""
    joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    assert lines
    assert not [
        line for line in lines if not re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=relative)
def test_requirements_name_no_index(path: Path) -> None:
    """Where packages come from is the machine's affair: no file names an index."""
    assert not re.findall(r"^\s*(?:-i|-f|--\S*(?:index|links|host)\S*)", text(relative(path)), flags=re.MULTILINE)


def test_requirements_are_one_per_image() -> None:
    """There is one file for each image, and one for those who develop."""
    assert [path.stem for path in REQUIREMENTS] == ["client", "collector", "dev", "server"]
