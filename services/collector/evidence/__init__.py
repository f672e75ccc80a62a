"""From lines of both books to the summary of a run. Pure: no file is opened here."""
