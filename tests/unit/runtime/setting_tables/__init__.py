"""Tests of services/runtime/setting_tables, one module for each of its own."""
