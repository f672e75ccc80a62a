"""Tests of services/client/external, one module for each of its own."""
