"""Generates records and streams them: generate → stream, with the ledger of what was sent and receipted."""

import os

# Of the WebSocket library, which reads them when it is imported: what a peer that has said nothing yet may make this
# process hold, 32 lines of 1 KiB in place of 128 of 8 KiB.
os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", "1024")
os.environ.setdefault("WEBSOCKETS_MAX_NUM_HEADERS", "32")
