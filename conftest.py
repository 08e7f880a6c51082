"""Hypothesis profiles for the whole suite; choose one with --hypothesis-profile."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW_MACHINE = (HealthCheck.too_slow,)

settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.register_profile(
    "ci", max_examples=50, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW_MACHINE
)
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest_plugins = ["pytester"]
