"""The repository checked against itself: documents, deployment, layout, sizes."""
