"""Text that people read: without characters that control a terminal, and one short line for an event."""
