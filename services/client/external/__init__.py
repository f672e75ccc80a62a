"""Receives feeds that are not ours: reads what comes by the operator's description of it, and logs it in blocks."""
