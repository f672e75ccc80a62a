"""The command ``feeds``: the presets, and a look at a feed that proposes its settings."""
