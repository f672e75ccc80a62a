"""Tests of services/collector/reconcile, one module for each of its own."""
