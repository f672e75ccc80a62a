"""From results to the verdict: checks, thresholds and the summary."""
