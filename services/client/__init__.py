"""Receives the feed, cuts it into blocks, writes them: receive → cut → write."""
