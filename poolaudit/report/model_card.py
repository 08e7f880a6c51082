"""The metrics as a `model-index` fragment for a Hugging Face model card."""

from __future__ import annotations

import json
from typing import Any

from poolaudit.evidence.estimates import Estimate
from poolaudit.report.charts.chart import legible
from poolaudit.results import AuditResult


def render_model_index(result: AuditResult) -> str | None:
    """YAML front matter with `model-index`; None where nothing was evaluated.

    Every string is written as a JSON string, which YAML reads as it is, so that no name can break out of its place.
    Metrics that cannot be estimated are left out: a model card has no word for them.
    """
    evaluation = result.evidence.evaluation
    if evaluation is None:
        return None
    metrics: list[tuple[str, str, Estimate]] = [
        ("accuracy", "Accuracy", evaluation.accuracy),
        ("matthews_correlation", "Matthews correlation coefficient", evaluation.matthews_correlation),
    ]
    for c in evaluation.per_class:
        if evaluation.positive in (None, c.name):
            metrics += [
                ("recall", f"Recall of {c.name}", c.recall),
                ("precision", f"Precision of {c.name}", c.precision),
                ("f1", f"F1 of {c.name}", c.f1),
            ]
    test = next((data for data in result.provenance.data if data.split == "test"), None)
    source = test.source if test else "test data"
    lines = [
        "---",
        "model-index:",
        f"- name: {_text(result.provenance.model.name if result.provenance.model else result.title)}",
        "  results:",
        "  - task:",
        f"      type: {_text('image-classification' if _is_image(result) else 'other')}",
        "    dataset:",
        f"      name: {_text(source)}",
        f"      type: {_text(source)}",
        f"      split: {_text('test')}",
        "    metrics:",
    ]
    for kind, name, estimate in metrics:
        if estimate.value is not None:
            lines += [
                f"    - type: {_text(kind)}",
                f"      name: {_text(name)}",
                f"      value: {_number(estimate.value)}",
            ]
            if estimate.low is not None and estimate.high is not None:
                lines += [
                    "      args:",
                    f"        interval: [{_number(estimate.low)}, {_number(estimate.high)}]",
                    f"        confidence: {_number(estimate.confidence)}",
                    f"        n: {estimate.n}",
                    f"        method: {_text(estimate.method)}",
                ]
    return "\n".join([*lines, "---", ""])


def _is_image(result: AuditResult) -> bool:
    model = result.provenance.model
    return model is not None and model.input_shape is not None and len(model.input_shape) == 4


def _text(value: Any) -> str:
    return json.dumps(legible(str(value)))


def _number(value: float) -> str:
    return f"{value:.6g}" if "e" not in f"{value:.6g}" else f"{value:.10f}"
