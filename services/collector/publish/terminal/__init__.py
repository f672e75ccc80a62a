"""Output on a terminal: progress while a run is on, and its summary when it is over."""
