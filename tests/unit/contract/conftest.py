"""How Hypothesis works in these tests."""

from hypothesis import HealthCheck, settings

# A machine that is busy with containers must not fail a property for being slow. There are some 150 properties here,
# many of them run for every kind of frame or line: fifty examples of each are ten thousand.
settings.register_profile("contract", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("contract")
