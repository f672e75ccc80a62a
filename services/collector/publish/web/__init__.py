"""The page, its live events and /metrics, on one port."""
