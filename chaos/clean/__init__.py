"""Runs without any fault, for which no error may be reported."""
