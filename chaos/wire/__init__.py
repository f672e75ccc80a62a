"""Faults between real client and server processes: in frames, in TCP connections, and by slow peers."""
