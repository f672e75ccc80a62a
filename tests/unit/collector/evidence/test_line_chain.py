"""Tests of services/collector/evidence/line_chain.py."""

from services.collector.evidence.line_chain import MOST, LineChain
from services.contract import ledger
from services.contract.jsonl import FIRST, content, seal
from tests.builders.runs import Writer, at, ledger_source


def lines(count: int) -> list[bytes]:
    """Return good lines of one chain."""
    writer = Writer(ledger.codec)
    for number in range(count):
        writer.put(ledger.ControlEntry(at=at(number), request="status", peer="p"))
    return writer.lines


def faults(taken: list[bytes]) -> list[tuple[int, str]]:
    """Return the line number and the kind of each fault after reading these lines."""
    chain = LineChain(ledger_source(), ledger.codec)
    for line in taken:
        found = chain.read(line)
        if found is not None:
            chain.link(found[0])
    return [(damage.line, damage.kind) for damage in chain.damages]


def test_good_lines_have_no_fault() -> None:
    """Lines in the order in which they were written have no fault."""
    assert [] == faults(lines(5))


def test_a_missing_line_is_reported_at_the_next_one() -> None:
    """A missing line is reported at the line after it."""
    one, _, three, four = lines(4)

    assert [(2, "line_missing")] == faults([one, three, four])


def test_a_missing_first_line_is_reported() -> None:
    """A file that does not begin with the first line of its chain has a fault there."""
    assert [(1, "line_missing")] == faults(lines(3)[1:])


def test_a_damaged_line_is_reported_once() -> None:
    """A damaged line is one fault: the line after it has none."""
    one, two, three = lines(3)

    assert [(2, "corrupt_line")] == faults([one, two.replace(b"status", b"stotus"), three])


def test_a_repeated_line_is_reported_and_the_chain_goes_on() -> None:
    """A repeated line is a fault, and the line after it continues the line before."""
    one, two, three = lines(3)

    assert [(3, "repeated")] == faults([one, two, one, three])
    assert [(2, "repeated")] == faults([one, one, two, three])


def test_garbage_cannot_fill_the_memory() -> None:
    """Faults beyond a maximum are counted and not kept."""
    chain = LineChain(ledger_source(), ledger.codec)
    for _ in range(MOST + 50):
        chain.read(b"garbage\n")

    assert MOST == len(chain.damages)
    assert 50 == chain.damages[-1].more


def test_a_row_of_misfiled_lines_is_one_fault() -> None:
    """Consecutive misfiled lines are one fault."""
    chain = LineChain(ledger_source(), ledger.codec)
    for line in lines(3):
        chain.read(line)
        chain.add_misfiled("of another client")

    assert [(1, "foreign", 2)] == [(damage.line, damage.kind, damage.more) for damage in chain.damages]


def test_a_misfiled_line_excuses_the_next_one() -> None:
    """The line after a misfiled one has no fault: the misfiled line may have replaced the line that it continues."""
    one, two, three = lines(3)
    chain = LineChain(ledger_source(), ledger.codec)
    for line in (one, two, three):
        sealed, _ = chain.read(line) or (None, None)
        assert sealed is not None
        if line == two:
            chain.add_misfiled("of another client")
        else:
            chain.link(sealed)

    assert [(2, "foreign")] == [(damage.line, damage.kind) for damage in chain.damages]


def test_a_fault_without_a_good_line_or_its_bytes_has_no_mark() -> None:
    """Only a good line before a fault, or the bytes of the faulty line, identify the fault in a copy of the file."""
    one, two = lines(2)
    marks = []
    for good in ([], [one]):
        chain = LineChain(ledger_source(), ledger.codec)
        for line in good:
            sealed, _ = chain.read(line) or (None, None)
            assert sealed is not None
            chain.link(sealed)
        chain.read(two)
        chain.add_misfiled("of another client")
        marks.append(bool(chain.damages[0].mark))

    assert [False, True] == marks


def test_lines_of_an_unknown_version_are_one_fault() -> None:
    """Consecutive lines of an unknown version are one fault; a good line between them begins another one."""
    old = [line.replace(b'"v":1', b'"v":7') for line in lines(5)]
    good, *_ = lines(1)
    old = [seal(b"{" + content(line), FIRST)[0] for line in old]
    chain = LineChain(ledger_source(), ledger.codec)
    for line in [*old[:3], good, *old[3:]]:
        chain.read(line)

    assert [(1, "version 7; this reader knows 1", 2), (5, "version 7; this reader knows 1", 1)] == [
        (damage.line, damage.detail, damage.more) for damage in chain.damages
    ]


def test_a_fault_knows_the_seqs_around_it() -> None:
    """A fault has the seqs of the good lines before and after it."""
    chain = LineChain(ledger_source(), ledger.codec)
    chain.pass_seqs(1, 10)
    chain.read(b"garbage\n")
    chain.pass_seqs(21, 30)

    assert [(10, 21)] == [(damage.after, damage.before) for damage in chain.damages]
