"""Generates the conformance kit in ``docs/conformance`` line by line; every run writes the same bytes."""
