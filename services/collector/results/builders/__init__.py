"""The builders of results: after evidence itself, the only code of the collector that reads evidence."""
