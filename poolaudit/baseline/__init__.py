"""Findings a team has accepted for a time."""

from poolaudit.baseline.acceptance import accept, apply_baseline
from poolaudit.baseline.file import encode_baseline, load_baseline

__all__ = ["accept", "apply_baseline", "encode_baseline", "load_baseline"]
