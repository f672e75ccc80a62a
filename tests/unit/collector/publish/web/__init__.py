"""Unit tests of ``services/collector/publish/web``."""
