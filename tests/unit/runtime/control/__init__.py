"""Unit tests of ``services/runtime/control``."""
