"""Scan, reconcile, publish: reads both sides of the books, trusts neither, and says what became of every record."""
