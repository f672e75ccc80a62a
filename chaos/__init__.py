"""Faults, injected on purpose: at rest here, over the real containers beside it."""
