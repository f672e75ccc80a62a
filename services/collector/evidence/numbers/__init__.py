"""The sequence numbers of an external feed: ranges, sequences, and the places of unreadable records."""
