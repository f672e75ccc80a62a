"""Connections from clients: listening, admission, the protocol, subscriptions, control requests."""
