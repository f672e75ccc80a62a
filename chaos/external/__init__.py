"""Servers that nobody here wrote, judged by our clients: as they are, and through a proxy that harms the feed.

``make foreign`` gets them from the package managers and prints what was injected beside what was reported.
"""
