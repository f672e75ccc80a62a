"""Tests of `services.server.jetstream`."""
