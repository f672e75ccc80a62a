"""Tests of services/collector/commands, one module for each command."""
