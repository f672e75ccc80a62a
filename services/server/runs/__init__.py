"""Runs: their state and ledger, when they start and end, and which process plays them."""
