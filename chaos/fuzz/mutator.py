"""Changes an input: by bytes, by numbers, by pieces of other inputs. Pure; all choices come from a seeded generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

MOST_BYTES = 64 * 1024
"""An input that grows beyond is cut: what only size can do is tried by ``make security``."""
WORDS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"5e-324", b"NaN", b"9007199254740992", b"18446744073709551616",
    b"9" * 400, b"9" * 5000, b"-", b"\"", b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xc3\x28", b"\xed\xa0\x80",
    b"\0", b"\n", b"\r\n", b"\x1b[2J", b"\xe2\x80\xae", b"[" * 2000, b'{"a":' * 2000, b"[]", b"{}", b"[[]]", b",",
    b"../", b"%2e%2e%2f", b"%00", b"$", b"*", b"?", b"(", b"a" * 300, b" " * 300, b"=", b"e", b"_", b"+", b":", b";",
)  # fmt: skip
_NUMBER = re.compile(rb"-?[0-9]+")
Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Return an input with one to six changes.

    Args:
        data: the input.
        chance: makes every choice.
        others: inputs from which pieces may be taken.
    """
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        chance.choice(_CHANGES)(changed, chance, others)
    return bytes(changed[:MOST_BYTES])


def _place(data: bytearray, chance: random.Random) -> int:
    return chance.randint(0, len(data))


def _piece(data: bytearray, chance: random.Random) -> slice:
    begin = _place(data, chance)
    return slice(begin, min(len(data), begin + chance.choice((1, 2, 4, 16, 64, 1024))))


def _flip_bit(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace_byte(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _remove(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    del data[_piece(data, chance)]


def _repeat(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    piece = data[_piece(data, chance)]
    at = _place(data, chance)
    data[at:at] = piece * chance.choice((1, 2, 8, 100))


def _insert_word(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    at = _place(data, chance)
    data[at:at] = chance.choice(WORDS)


def _replace_with_word(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    data[_piece(data, chance)] = chance.choice(WORDS)


def _change_number(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    numbers = list(_NUMBER.finditer(data))
    if numbers:
        found = chance.choice(numbers)
        near = str(int(found[0][:18]) + chance.choice((-1, 1, 2**31, 2**53, -(2**63)))).encode()
        data[slice(*found.span())] = chance.choice((near, b"0", b"-1", b"1.5", *WORDS[3:11]))


def _take_piece(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    other = bytearray(chance.choice(others))
    data[_piece(data, chance)] = other[_piece(other, chance)]


def _join_halves(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    other = bytearray(chance.choice(others))
    data[_place(data, chance) :] = other[_place(other, chance) :]


def _cut(data: bytearray, chance: random.Random, _others: Sequence[bytes]) -> None:
    del data[_place(data, chance) :]


_CHANGES: tuple[Change, ...] = (
    _flip_bit, _replace_byte, _remove, _repeat, _insert_word, _replace_with_word, _change_number, _change_number,
    _take_piece, _join_halves, _cut,
)  # fmt: skip
