"""Tests of services/collector/evidence/log_file_reader.py; what its lines become is in test_log_evidence.py."""

from __future__ import annotations

import pickle

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.timing import RunTiming
from tests.builders.runs import Session, blocks_of, log_files


def test_a_file_that_was_read_can_be_sent_to_another_process() -> None:
    """A copy made by pickle has the same segment, end and faults."""
    evidence = LogEvidence("client-1", RunTiming())
    ((source, lines),) = log_files(Session("client-1", 1, 1, 0, blocks_of(1, 60, 10))).items()
    for line in [*lines[:2], b"garbage\n", *lines[3:]]:
        evidence.add_line(source, line)
    (copy,) = pickle.loads(pickle.dumps(evidence)).files
    (file,) = evidence.files

    assert (True, (1, 1), file.chain.damages) == (copy.ended, copy.segment, copy.chain.damages)
    assert ["corrupt_block"] == [damage.kind for damage in copy.chain.damages]
