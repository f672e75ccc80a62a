"""The server: generates records, streams them to clients, and keeps the ledger of sends and receipts."""

import os

from services.contract import bounds

# websockets reads these variables when it is imported. They bound the memory that a peer can claim before its opening
# handshake is complete; by default they allow 128 header lines of 8 KiB.
os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", str(bounds.HEADER_BYTES.value))
os.environ.setdefault("WEBSOCKETS_MAX_NUM_HEADERS", str(bounds.HEADER_LINES.value))
