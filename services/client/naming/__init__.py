"""The name of a client: from its settings, its container or its host."""
