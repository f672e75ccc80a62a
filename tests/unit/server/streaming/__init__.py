"""Unit tests of ``services/server/streaming``."""
