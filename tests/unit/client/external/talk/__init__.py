"""Tests of what a client says to an external server."""
