"""Unit tests of ``services/collector/results/builders``."""
