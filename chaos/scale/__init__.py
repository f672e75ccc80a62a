"""Several servers that play one run, tried for real: ``make scale``."""
