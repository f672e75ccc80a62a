"""Tests of the server: generate and stream, and the ledger."""
