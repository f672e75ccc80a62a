"""The engines behind a run on several machines, as real processes, with faults."""
