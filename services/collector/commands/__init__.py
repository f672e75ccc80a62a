"""The commands by which an operator inspects a volumes folder, or controls a run; one module a command."""
