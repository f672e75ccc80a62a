"""Runs: their state, rate and ledger file, when they start, resume and end, and protection from a second server."""
