"""Unit tests of ``services/collector/publish/terminal``."""
