"""The faults that matter most, in a minute: part of ``make test``."""
