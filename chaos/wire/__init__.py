"""Faults between the real client processes and the real server process: in the frames, in TCP, in the peers."""
