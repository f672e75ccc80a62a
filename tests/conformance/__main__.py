"""``python -m tests.conformance`` writes the volumes, the expected summaries and the tables of the page again."""

from __future__ import annotations

from tests.conformance import generator

if __name__ == "__main__":
    generator.write_anew()
