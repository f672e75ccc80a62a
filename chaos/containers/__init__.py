"""Faults injected into the real containers, and healed; not part of ``make test``."""
