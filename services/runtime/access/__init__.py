"""Who may reach a service: tokens and their roles, TLS, and what a service demands before it listens."""
