"""Tests of the client: receive, cut, write."""
