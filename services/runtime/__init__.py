"""What every process needs: settings, JSON logs, lifecycle, clock, heartbeat, durable files."""
