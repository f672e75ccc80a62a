"""Power cuts of a real client: killed at any moment, and its files left as a disk without power leaves them."""
