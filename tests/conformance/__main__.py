"""``python -m tests.conformance`` makes the volumes, the expected summaries and the page's tables anew."""

from __future__ import annotations

from tests.conformance import generator

if __name__ == "__main__":
    generator.write_anew()
