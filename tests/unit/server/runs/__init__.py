"""Unit tests of ``services/server/runs``."""
