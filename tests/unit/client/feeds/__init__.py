"""Tests of services/client/feeds, one module for each of its own."""
