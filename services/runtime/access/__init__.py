"""Access to a service: tokens and their roles, TLS, and the demands of a service before it listens."""
