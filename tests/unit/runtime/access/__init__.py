"""Tests of services/runtime/access."""
