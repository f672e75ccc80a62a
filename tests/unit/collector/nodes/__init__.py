"""Unit tests of ``services/collector/nodes``."""
