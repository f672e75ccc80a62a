"""Profiles of external feeds: TOML files that become the texts of settings, and the presets among them."""
