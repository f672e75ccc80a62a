"""From evidence to results: one result per client, and the totals, durations and timeline of a run."""
