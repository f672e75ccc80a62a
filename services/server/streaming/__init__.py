"""Streams a run to its clients: admission, subscriptions, the send loop, receipts and control requests."""
