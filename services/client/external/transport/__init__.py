"""How the bytes of a connection to an external feed become messages."""
