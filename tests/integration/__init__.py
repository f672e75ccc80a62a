"""The whole system, from outside: the real containers of the real compose file, and the same services as processes."""
