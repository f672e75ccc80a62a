"""Unit tests of ``services/server/feed``."""
