"""Release audits for Keras classifiers with pooling layers.

Public names are resolved on first use, so that importing poolaudit loads neither TensorFlow nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from poolaudit.version import __version__

if TYPE_CHECKING:
    from poolaudit.audit import AuditPlan, run_audit
    from poolaudit.audit.leaks import find_leaks
    from poolaudit.conformance.check import ConformanceResult, check_layer
    from poolaudit.errors import InvalidInputError, PoolauditError
    from poolaudit.evidence.estimates import Estimate
    from poolaudit.findings import Finding
    from poolaudit.outcomes import Outcome, Severity, Verdict
    from poolaudit.policy import Policy, load_policy
    from poolaudit.results import AuditResult
    from poolaudit.store.results import load_result, save_result

_HOMES = {
    "ConformanceResult": "poolaudit.conformance.check",
    "check_layer": "poolaudit.conformance.check",
    "AuditPlan": "poolaudit.audit",
    "AuditResult": "poolaudit.results",
    "Estimate": "poolaudit.evidence.estimates",
    "Finding": "poolaudit.findings",
    "InvalidInputError": "poolaudit.errors",
    "Outcome": "poolaudit.outcomes",
    "Policy": "poolaudit.policy",
    "PoolauditError": "poolaudit.errors",
    "Severity": "poolaudit.outcomes",
    "Verdict": "poolaudit.outcomes",
    "find_leaks": "poolaudit.audit.leaks",
    "load_policy": "poolaudit.policy",
    "load_result": "poolaudit.store.results",
    "run_audit": "poolaudit.audit",
    "save_result": "poolaudit.store.results",
}

__all__ = [  # noqa: RUF022 - the version first
    "__version__",
    "AuditPlan",
    "AuditResult",
    "ConformanceResult",
    "Estimate",
    "Finding",
    "InvalidInputError",
    "Outcome",
    "Policy",
    "PoolauditError",
    "Severity",
    "Verdict",
    "check_layer",
    "find_leaks",
    "load_policy",
    "load_result",
    "run_audit",
    "save_result",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'poolaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
