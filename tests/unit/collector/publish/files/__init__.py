"""Unit tests of ``services/collector/publish/files``."""
