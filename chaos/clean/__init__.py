"""Runs in which nothing is done to anybody: no alarm may be raised."""
