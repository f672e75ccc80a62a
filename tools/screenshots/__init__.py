"""Pictures of the page and of the terminal, taken of real runs."""
