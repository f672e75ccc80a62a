"""Benchmarks: `python -m benchmarks`, or `make bench`. The figures go to `docs/performance.md`."""
