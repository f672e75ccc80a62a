"""How fast it is: `python -m benchmarks`, or `make bench`. Figures go to `docs/performance.md`."""
