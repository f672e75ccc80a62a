"""Power cuts of real client processes: each is killed at a random time, and its files lose unsynced data."""
