"""The profile of a published benchmark: classifies every delivery under the same connection cuts for every server."""
