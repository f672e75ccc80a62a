"""Publishes the summary: on the terminal, on the page, as files and as metrics."""
