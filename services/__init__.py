"""Streamgauge: did every client of this stream get everything, in order, once, and how late?

Read the packages in the order in which the data flows:
``contract`` (what crosses a boundary), ``runtime`` (what every process needs),
``server`` (generate, stream), ``client`` (receive, cut, write), ``collector`` (scan, reconcile, publish).
"""
