"""Faults injected into real containers and removed again; not part of ``make test``."""
