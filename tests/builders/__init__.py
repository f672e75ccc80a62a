"""Builders of runs, logs and snapshots that tests, the conformance kit, chaos and benchmarks share."""
