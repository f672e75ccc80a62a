"""The server: generates records, streams them to clients, and keeps the ledger of sends and receipts."""

import os

# websockets reads these variables when it is imported. They bound the memory that a peer can claim before its opening
# handshake is complete: 32 header lines of 1 KiB instead of 128 lines of 8 KiB.
os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", "1024")
os.environ.setdefault("WEBSOCKETS_MAX_NUM_HEADERS", "32")
