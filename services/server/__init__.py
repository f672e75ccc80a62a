"""The server: generates records, streams them to clients, and keeps the ledger of sends and receipts."""

import os

from services.contract import bounds

# websockets reads these variables when it is imported. They bound the memory that a peer can claim with an opening
# request or a message that is not complete; by default they allow 128 header lines of 8 KiB, and 4,096 fragments.
os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", str(bounds.HEADER_BYTES.value))
os.environ.setdefault("WEBSOCKETS_MAX_NUM_HEADERS", str(bounds.HEADER_LINES.value))
os.environ.setdefault("WEBSOCKETS_MAX_FRAGMENTS", str(bounds.FRAGMENTS.value))
