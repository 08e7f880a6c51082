"""The sections of the report below its first screen and its checks, in reading order."""

from __future__ import annotations

from collections.abc import Callable

from poolaudit.report.blocks import Section
from poolaudit.report.sections import ablation, benchmarks, conformance, glossary, leakage, method, metrics, pooling
from poolaudit.results import AuditResult

# Name, for the card that stands where a section cannot be rendered, and the function that makes it.
SECTIONS: tuple[tuple[str, Callable[[AuditResult], Section | None]], ...] = (
    ("Metrics", metrics.section),
    ("Pooling in this model", pooling.section),
    ("Does the pooling cost recall?", ablation.section),
    ("Correctness of the pooling layers", conformance.section),
    ("Leakage", leakage.section),
    ("Speed of the pooling", benchmarks.section),
    ("Words used here", glossary.section),
    ("How this was made", method.section),
)
