"""The most important faults, in a minute: part of ``make test``."""
