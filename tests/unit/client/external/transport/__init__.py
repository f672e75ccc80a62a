"""Tests of how bytes become messages."""
