"""Does it hold when there is much of it: connections, cuts, slow neighbours, logs. `python -m benchmarks.scale`."""
