"""Other servers on the same work: what ours is compared with, how it is installed, and who counts on the other side."""
