"""Compares the server with other servers on the same work: their installation, start, and a common load generator."""
