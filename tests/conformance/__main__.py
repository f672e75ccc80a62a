"""``python -m tests.conformance`` makes the volumes, the expected summaries and the page's tables anew."""

from __future__ import annotations

from tests.conformance import kit

if __name__ == "__main__":
    kit.write_anew()
