"""Tests of what crosses a boundary between processes."""
