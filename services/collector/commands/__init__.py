"""What an operator asks of a volumes folder, one module a command."""
