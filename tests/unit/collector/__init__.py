"""Tests of services/collector, one module for each of its own."""
