"""Damage at rest: changes of the bytes of ledger and logs, and their detection by the collector."""
