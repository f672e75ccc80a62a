"""The control channel of a run: its token, the client for it, the commands and the operator's console."""
