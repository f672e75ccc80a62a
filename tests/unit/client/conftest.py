"""How Hypothesis works in these tests."""

from hypothesis import HealthCheck, settings

# A machine that is busy with containers must not fail a property for being slow.
settings.register_profile("services", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("services")
