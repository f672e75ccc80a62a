"""Unit tests of ``services/server/connections``."""
