"""Tests of the formats that processes exchange."""
