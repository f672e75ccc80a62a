"""Tests of the local supervisor's parts."""
