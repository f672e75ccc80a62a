"""Unit tests of ``services/collector/evidence``."""
