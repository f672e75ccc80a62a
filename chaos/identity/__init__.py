"""Faults of identity: two processes with one name, two writers of one file, and mounts that cannot be written."""
