"""Modules, functions and folders stay small, so that a reader can understand each as a whole."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.repo.repository import ROOT, modules, relative
from tools.house.structure import length, load

LIMITS = {"module": 400, "function": 40, "folder": 21}
"""Lines of a module, lines of a function without its docstring, modules in a folder."""

SIZES = {
    "module": {module.path: module.lines for module in load(ROOT, "services")},
    "function": {
        f"{module.path}:{function.name}": length(function)
        for module in load(ROOT, "services")
        for function in module.functions
    },
    "folder": Counter(relative(path.parent) for path in modules("services") if path.name != "__init__.py"),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_nothing_is_too_large(kind: str) -> None:
    """No module, function or folder of the services exceeds its limit; those that do are listed by size."""
    too_large = {name: size for name, size in SIZES[kind].items() if size > LIMITS[kind]}

    assert SIZES[kind]
    assert not sorted(too_large.items(), key=lambda item: -item[1]), f"limit of a {kind}: {LIMITS[kind]}"
