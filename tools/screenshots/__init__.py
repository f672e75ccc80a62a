"""Screenshots of the page and the terminal for the documentation, of real runs."""
