"""What the collector prints: progress while a run goes on, and its summary."""
