"""Release audits for Keras classifiers with pooling layers.

Public names are resolved on first use, so that importing poolaudit loads neither TensorFlow nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from poolaudit.version import __version__

if TYPE_CHECKING:
    from poolaudit.ablation.apply import apply_variant
    from poolaudit.ablation.recipe import Recipe
    from poolaudit.ablation.surgery import build_variant
    from poolaudit.ablation.swap import swap_predictions
    from poolaudit.ablation.variants import Variant, applicable_variants, parse_variant, variant
    from poolaudit.audit import AuditPlan, run_audit
    from poolaudit.audit.ablation import AblationPlan, run_ablation
    from poolaudit.audit.bench import benchmark_model
    from poolaudit.audit.leaks import find_leaks
    from poolaudit.conformance.check import ConformanceResult, check_layer
    from poolaudit.errors import InvalidInputError, PoolauditError
    from poolaudit.evidence.estimates import Estimate
    from poolaudit.findings import Finding
    from poolaudit.geometry.inspect import inspect_pooling
    from poolaudit.integrations.tracking import log_to_mlflow
    from poolaudit.integrations.training import AuditCallback
    from poolaudit.outcomes import Outcome, Severity, Verdict
    from poolaudit.policy import Policy, load_policy
    from poolaudit.results import AuditResult
    from poolaudit.store.results import load_result, save_result

_HOMES = {
    "Variant": "poolaudit.ablation.variants",
    "applicable_variants": "poolaudit.ablation.variants",
    "apply_variant": "poolaudit.ablation.apply",
    "build_variant": "poolaudit.ablation.surgery",
    "parse_variant": "poolaudit.ablation.variants",
    "swap_predictions": "poolaudit.ablation.swap",
    "variant": "poolaudit.ablation.variants",
    "AblationPlan": "poolaudit.audit.ablation",
    "Recipe": "poolaudit.ablation.recipe",
    "run_ablation": "poolaudit.audit.ablation",
    "ConformanceResult": "poolaudit.conformance.check",
    "check_layer": "poolaudit.conformance.check",
    "AuditCallback": "poolaudit.integrations.training",
    "log_to_mlflow": "poolaudit.integrations.tracking",
    "AuditPlan": "poolaudit.audit",
    "benchmark_model": "poolaudit.audit.bench",
    "AuditResult": "poolaudit.results",
    "Estimate": "poolaudit.evidence.estimates",
    "Finding": "poolaudit.findings",
    "InvalidInputError": "poolaudit.errors",
    "inspect_pooling": "poolaudit.geometry.inspect",
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
    "AblationPlan",
    "AuditCallback",
    "AuditPlan",
    "AuditResult",
    "ConformanceResult",
    "Estimate",
    "Finding",
    "InvalidInputError",
    "Outcome",
    "Policy",
    "PoolauditError",
    "Recipe",
    "Severity",
    "Variant",
    "Verdict",
    "applicable_variants",
    "apply_variant",
    "benchmark_model",
    "build_variant",
    "check_layer",
    "inspect_pooling",
    "find_leaks",
    "load_policy",
    "load_result",
    "log_to_mlflow",
    "parse_variant",
    "run_ablation",
    "run_audit",
    "save_result",
    "swap_predictions",
    "variant",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'poolaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
