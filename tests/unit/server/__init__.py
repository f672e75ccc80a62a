"""Tests of the server, which generates and streams the feed and writes the ledger."""
