"""What a client says to the server of an external feed: how it greets, resumes and sends heartbeats."""
