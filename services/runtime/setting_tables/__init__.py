"""Parts of the table of settings: the parsers of their texts, and the settings of external feeds."""
