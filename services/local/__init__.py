"""Parts of the local supervisor: ``python -m services`` starts the services as processes and waits for the verdicts."""
