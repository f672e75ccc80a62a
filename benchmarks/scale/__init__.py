"""Scale benchmarks: many connections, cuts, slow neighbours, large logs. `python -m benchmarks.scale`."""
