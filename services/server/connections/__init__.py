"""WebSocket connections below the protocol: listening sockets, limits, sending without waiting. Knows no runs."""
