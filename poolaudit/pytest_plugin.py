"""poolaudit at home in pytest; loads nothing of the core before it is used.

The fixture `poolaudit` hands out the library's doors: `poolaudit.audit(...)` runs an audit and
`poolaudit.metrics(...)` audits predictions; both return an `AuditResult`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from poolaudit.results import AuditResult


class Doors:
    """What a test can ask poolaudit for."""

    def audit(self, model: Any, test: Any, **options: Any) -> AuditResult:
        """Audits a model on a test split; `options` are the further fields of `AuditPlan`."""
        from poolaudit.audit import AuditPlan, run_audit

        return run_audit(AuditPlan(model=model, test=test, command="pytest", **options))

    def metrics(self, predictions: str | Path, **options: Any) -> AuditResult:
        """Audits a prediction file, without TensorFlow; `options` are the further fields of `AuditPlan`."""
        from poolaudit.audit import AuditPlan, run_audit

        return run_audit(AuditPlan(predictions=predictions, command="pytest", **options))


@pytest.fixture(scope="session")
def poolaudit() -> Doors:
    """The library's doors, for tests that audit."""
    return Doors()
