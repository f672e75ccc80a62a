"""Counts private-English words: idioms of this project that a stranger has to decode."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PRIVATE_WORDS = re.compile(
    r"\b(who|whoever|whatever|nobody|somebody|everybody|anew|likewise|of which|so many|so long"
    r"|what (?:is|it|was|came|they))\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_CODE = re.compile(r"```.*?```|``[^`]*``|`[^`\n]*`|<!--.*?-->", re.DOTALL)


class Prose(NamedTuple):
    """Words of a text, and how often each private word occurs in it."""

    words: int
    private: Counter[str]

    @property
    def per_thousand(self) -> float:
        """Private words per 1,000 words; 0 for an empty text."""
        return 1000 * self.private.total() / self.words if self.words else 0.0


def measure(texts: Iterable[str]) -> Prose:
    """Count the words of texts; code in backquotes does not count."""
    words, private = 0, Counter[str]()
    for text in texts:
        plain = _CODE.sub(" ", text)
        words += len(_WORD.findall(plain))
        private.update(" ".join(match.lower().split()) for match in PRIVATE_WORDS.findall(" ".join(plain.split())))
    return Prose(words, private)


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the docstrings of a module, its classes and functions, and the strings that document a constant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _bare_strings(node.body).values()


def messages(tree: ast.Module) -> Iterator[str]:
    """Yield the string literals of several words that are no docstrings: log events, errors, printed texts."""
    documentation = {
        key
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for key in _bare_strings(node.body)
    }
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) and id(node) not in documentation else None
        if isinstance(value, str) and len(value.split()) > 1:
            yield value


def comments(source: str) -> Iterator[str]:
    """Yield the comments of a Python source; adjacent lines are one text, so that a phrase may cross a line end."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1 and block:
                yield " ".join(block)
                block = []
            block.append(token.string.lstrip("# "))
            last = token.start[0]
    if block:
        yield " ".join(block)


def texts(path: Path) -> list[str]:
    """Return everything in a file that people read: all of a document, the comments of other files."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return [source]
    if path.suffix == ".py":
        tree = ast.parse(source)
        return [*docstrings(tree), *comments(source), *messages(tree)]
    return ["\n".join(line.partition("#")[2] for line in source.splitlines())]


def _bare_strings(body: list[ast.stmt]) -> dict[int, str]:
    """Return the strings that are statements, by the id of their node."""
    values = [statement.value for statement in body if isinstance(statement, ast.Expr)]
    constants = [value for value in values if isinstance(value, ast.Constant)]
    return {id(constant): constant.value for constant in constants if isinstance(constant.value, str)}
