"""Tests of services/client/foreign, one module for each of its own."""
