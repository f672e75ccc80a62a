"""Unit tests, one file to a module: `tests/unit/contract/test_line.py` tests `services/contract/jsonl.py`."""
