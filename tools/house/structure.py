"""Measures the structure of the services: sizes, imports, class names, reach-throughs and branches on the feed."""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
_EVIDENCE = re.compile(r"(log|logs|ledger|times)$")
_RUN_EVIDENCE = re.compile(r"(books|evidence)$")
_RESULT = re.compile(r"(^|_)(result|view)$")
_KIND = re.compile(r"(one_sided|is_external|external|heard|foreign)$")
_EXTERNAL_CLASS = re.compile(r"External|Heard|OneSided|Foreign")
_EXTERNAL_CODE = re.compile(r"client/(external|foreign)/|/contract/|external\w*\.py$")
_SECTIONS = re.compile(r"^\s*(Args|Returns|Raises|Yields|Attributes):$", re.MULTILINE)
_CONSUMERS = re.compile(r"collector/(verdict|results|publish|commands|reconcile)/")
# Builders make results from evidence, so they read it. The file names are those of the code before they had a folder.
_BUILDERS = re.compile(
    r"results/builders/|(client_results?|client_result_external|account|accounts|onesided|books)\.py$"
)


class Module(NamedTuple):
    """A module of the services: path below the root of the checkout, source and syntax tree."""

    path: str
    source: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.source.splitlines())

    @property
    def functions(self) -> list[Function]:
        """Every function and method."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def load(root: Path, folder: str) -> list[Module]:
    """Read the modules below a folder that hold code."""
    paths = sorted((root / folder).rglob("*.py"))
    sources = [(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    return [Module(path, source, ast.parse(source)) for path, source in sources]


def length(function: Function) -> int:
    """Return the lines of a function without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def spread(numbers: Iterable[int]) -> str:
    """Return median, 90th percentile and maximum of whole numbers."""
    ordered = sorted(numbers) or [0]
    return f"{statistics.median(ordered):g} / {ordered[int(0.9 * (len(ordered) - 1))]} / {ordered[-1]}"


def imports(modules: list[Module]) -> dict[str, set[str]]:
    """Return which modules each module imports, by dotted name, within the package."""
    names = {_dotted(module.path) for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        targets: set[str] = set()
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                deeper = {f"{node.module}.{alias.name}" for alias in node.names} & names
                targets |= deeper or {node.module}
        graph[_dotted(module.path)] = targets & names
    return graph


def depth(graph: dict[str, set[str]]) -> int:
    """Return the number of modules on the longest chain of imports."""

    @cache
    def below(name: str) -> int:
        return 1 + max((below(target) for target in graph[name]), default=0)

    return max(map(below, graph), default=0)


def single_importer(graph: dict[str, set[str]]) -> int:
    """Return how many modules are imported by exactly one other."""
    return sum(
        1 for count in Counter(target for targets in graph.values() for target in targets).values() if count == 1
    )


def documented(modules: list[Module]) -> Iterator[str]:
    """Yield the docstrings of the functions that have one."""
    for module in modules:
        yield from filter(None, map(ast.get_docstring, module.functions))


def has_sections(docstring: str) -> bool:
    """Return whether a docstring has a section such as Args or Returns."""
    return _SECTIONS.search(docstring) is not None


def shared_class_names(modules: list[Module]) -> dict[str, int]:
    """Return the names of top-level classes that several modules define, with the number of these modules."""
    names = Counter(node.name for module in modules for node in module.tree.body if isinstance(node, ast.ClassDef))
    return {name: count for name, count in names.items() if count > 1}


def reach_throughs(modules: list[Module]) -> Counter[str]:
    """Count expressions that reach from a consumer of results back into raw evidence, by module.

    An expression such as ``client.log.opens`` or ``evidence.times`` counts; ``result.ledger`` does not, since the facts
    of the ledger are part of a result. Modules that build results read evidence by purpose, so they are left out.
    """
    found: Counter[str] = Counter()
    for module in modules:
        if _CONSUMERS.search(module.path) and not _BUILDERS.search(module.path):
            nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
            inner = {id(node.value) for node in nodes}
            found[module.path] = sum(
                bool(_EVIDENCE.match(node.attr))
                and not _RESULT.search(_name(node.value))
                and (id(node) in inner or bool(_RUN_EVIDENCE.match(_name(node.value))))
                for node in nodes
            )
    return +found


def kind_branches(modules: list[Module]) -> Counter[str]:
    """Count branches on the kind of feed by module, except in the formats and in code for external feeds alone."""
    found: Counter[str] = Counter()
    for module in modules:
        if not _EXTERNAL_CODE.search(module.path):
            found[module.path] = sum(map(_asks_kind, ast.walk(module.tree)))
    return +found


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _asks_kind(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and _name(node.func) == "isinstance":
        return bool(_EXTERNAL_CLASS.search(ast.unparse(node.args[1])))
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
        return bool(_KIND.search(_name(node.left)))
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp) else node.values if isinstance(node, ast.BoolOp) else []
    plain = (test.operand if isinstance(test, ast.UnaryOp) else test for test in tests)
    return any(_KIND.search(_name(test)) for test in plain)
