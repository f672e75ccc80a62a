"""Prints the table for a checkout; with ``--words FOLDER`` the files that contain private words, most words first."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.house import prose, structure

ROOT = Path(__file__).resolve().parents[2]
AREAS = {
    "services": ("services",),
    "unit tests": ("tests/unit",),
    "other tests": ("tests/integration", "tests/repo", "tests/conformance", "tests/builders"),
    "chaos": ("chaos", "tests/faults", "tests/foreign"),
    "benchmarks": ("benchmarks", "tests/bench"),
    "tools": ("tools", "tests/pictures"),
    "README": ("README.md",),
    "docs": ("docs", "CONTRIBUTING.md", "SECURITY.md", "volumes"),
    "build files": (
        "Makefile", "docker-compose.yml", "Dockerfile.server", "Dockerfile.client", "pyproject.toml", ".ci", ".github",
        "deploy",
    ),
}  # fmt: skip
"""Parts of a checkout, with their folders and files today and before."""
READABLE = {".py", ".md", ".yml", ".yaml", ".toml", ".sh", ""}


def main() -> None:
    """Print the table or the list of words. No figure is an error: this measures, it does not check."""
    parser = argparse.ArgumentParser(prog="python -m tools.house", description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=ROOT, help="root of a checkout; default: this one")
    parser.add_argument("--words", metavar="FOLDER", help="list the private words of the files below FOLDER")
    arguments = parser.parse_args()
    if arguments.words:
        rows = [*words_by_file(arguments.path, arguments.words)]
    else:
        modules = [module for module in structure.load(arguments.path, "services") if module.source.count("\n") > 1]
        rows = [*sizes(modules), *shapes(modules), *language(arguments.path, modules)]
    width = max((len(label) for label, _ in rows), default=0)
    for label, figure in rows:
        print(f"{label:{width}}  {figure}")


def sizes(modules: list[structure.Module]) -> Iterator[tuple[str, str]]:
    """Yield the sizes of modules, functions and folders."""
    lines = {module.path: module.lines for module in modules}
    functions = {f"{m.path}:{node.name}": structure.length(node) for m in modules for node in m.functions}
    folders: dict[str, int] = {}
    for path in lines:
        folders[str(Path(path).parent)] = folders.get(str(Path(path).parent), 0) + 1
    yield "modules with code", f"{len(modules)}"
    yield "lines", f"{sum(lines.values()):,}"
    yield "module lines, median / p90 / max", structure.spread(lines.values())
    yield "function lines, median / p90 / max", structure.spread(functions.values())
    yield "modules over 400 lines", listed({path: count for path, count in lines.items() if count > 400})
    yield "functions over 40 lines", listed({name: count for name, count in functions.items() if count > 40})
    yield "folders over 21 modules", listed({folder: count for folder, count in folders.items() if count > 21})


def shapes(modules: list[structure.Module]) -> Iterator[tuple[str, str]]:
    """Yield import depth, shared names, reach-throughs and branches on the kind of feed."""
    graph = structure.imports(modules)
    takes = Counter(module.path for module in modules for node in module.functions if node.name == "take")
    reaches, branches = structure.reach_throughs(modules), structure.kind_branches(modules)
    yield "import depth", f"{structure.depth(graph)}"
    yield "modules with one importer", f"{100 * structure.single_importer(graph) / len(modules):.0f} %"
    yield "class names defined twice", listed(structure.shared_class_names(modules))
    yield "take() methods", f"{takes.total()}"
    yield "reach-throughs into evidence", total(reaches)
    yield "branches on the kind of feed", total(branches)


def language(root: Path, modules: list[structure.Module]) -> Iterator[tuple[str, str]]:
    """Yield the shares of docstrings and comments, and the private words per 1,000 words of each area."""
    lines = sum(module.lines for module in modules)
    texts = [text for module in modules for text in prose.docstrings(module.tree)]
    functions = [*structure.documented(modules)]
    comments = sum(line.lstrip().startswith("#") for module in modules for line in module.source.splitlines())
    yield "docstring lines", f"{100 * sum(len(text.splitlines()) for text in texts) / lines:.0f} %"
    yield "comment lines", f"{100 * comments / lines:.1f} %"
    yield (
        "docstrings with Args/Returns/…",
        f"{100 * sum(map(structure.has_sections, functions)) / len(functions):.0f} %",
    )
    yield "private words per 1,000:", ""
    yield "  services: docstrings", f"{prose.measure(texts).per_thousand:.1f}"
    found = [text for module in modules for text in prose.comments(module.source)]
    yield "  services: comments", f"{prose.measure(found).per_thousand:.1f}"
    found = [text for module in modules for text in prose.messages(module.tree)]
    yield "  services: messages", f"{prose.measure(found).per_thousand:.1f}"
    for area, places in AREAS.items():
        prosed = prose.measure(text for place in places for path in files(root, place) for text in prose.texts(path))
        if prosed.words:
            yield f"  {area}, all texts", f"{prosed.per_thousand:.1f}  ({prosed.private.total()} in {prosed.words:,})"


def words_by_file(root: Path, place: str) -> Iterator[tuple[str, str]]:
    """Yield the files that contain private words, with the words; files with the most come first."""
    found = {path: prose.measure(prose.texts(path)) for path in files(root, place)}
    for path, measured in sorted(found.items(), key=lambda pair: -pair[1].private.total()):
        if measured.private:
            words = ", ".join(f"{word} {count}" for word, count in measured.private.most_common())
            yield f"{path.relative_to(root)}", f"{measured.private.total():3} = {measured.per_thousand:4.1f} ‰  {words}"


def files(root: Path, place: str) -> list[Path]:
    """Return the readable files of a path: the file itself, or all files below the folder."""
    path = root / place
    below = [path] if path.is_file() else sorted(path.rglob("*"))
    skipped = {"__pycache__", "house"}  # this package contains the list of words
    return [file for file in below if file.is_file() and file.suffix in READABLE and not skipped & {*file.parts}]


def total(counts: Counter[str]) -> str:
    """Return the sum of the counts, and the modules with the highest by name."""
    return f"{counts.total()}; {listed(counts, 4)}" if counts else "0"


def listed(counts: dict[str, int], most: int = 6) -> str:
    """Return the number of entries and the names of the largest, or 0."""
    largest = sorted(counts.items(), key=lambda pair: -pair[1])
    names = ", ".join(f"{name.removeprefix('services/')} {count}" for name, count in largest[:most])
    return f"{len(counts)}: {names}{' …' if len(counts) > most else ''}" if counts else "0"


if __name__ == "__main__":
    main()
