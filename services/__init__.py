"""Streamgauge: did every client of this stream get everything, in order, once, and how late?

Read the packages in the order in which the data flows:
``contract`` (what crosses a boundary), ``runtime`` (what every process needs),
``server`` (generate, stream), ``client`` (receive, cut, write), ``collector`` (scan, compare, judge, publish).
"""

from __future__ import annotations

from services.runtime import interpreter

__version__ = "0.2.0"
SOFTWARE = f"streamgauge/{__version__}"
"""Name and version, as they are written into every block log, ledger and summary."""

interpreter.require()
