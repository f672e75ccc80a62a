"""Tests of services/collector/publish, one module for each of its own."""
