"""Puts the summary where people and programs look: terminal, page, files, metrics."""
