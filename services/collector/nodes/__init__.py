"""Files of runs on several hosts: what a node hands out, and how a collector pulls it."""
