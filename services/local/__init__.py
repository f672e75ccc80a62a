"""The local supervisor's parts: ``python -m services`` starts the services as processes and judges its own runs."""
