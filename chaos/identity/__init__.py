"""Names under fire: one name is one process at a time, one file has one writer, and every mount works or says why."""
