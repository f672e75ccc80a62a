"""The collector: reads ledger and block logs, trusts neither, and publishes a verdict: scan → reconcile → publish."""
