"""Tests of the profiles of external feeds."""
