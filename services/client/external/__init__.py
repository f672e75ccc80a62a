"""Receives an external feed: decodes its messages as the operator describes them, and logs them in blocks."""
