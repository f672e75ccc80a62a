"""Generates records and streams them: generate → stream, with the ledger of what was sent and receipted."""
