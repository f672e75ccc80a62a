"""Tests the clients with third-party servers: directly, and through a proxy that injects faults into the feed.

``make foreign`` installs the servers with their package managers, and prints injected faults next to reported ones.
"""
