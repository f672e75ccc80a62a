"""Unit tests of ``services/collector/verdict``."""
