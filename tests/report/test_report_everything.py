"""A whole audit in the report: every field a user controls filled with hostile text, and how large the file grows."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import browser, complaints, needs_browser, requests_made
from report_examples import HOSTILE, Document, result_of, scored

from poolaudit.audit import AuditPlan, run_audit
from poolaudit.audit.leaks import find_leaks
from poolaudit.evidence.ablation import TrialRow
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.outcomes import Outcome
from poolaudit.report.blocks import Problem
from poolaudit.report.files import render_all
from poolaudit.report.html import render_html
from poolaudit.report.page import build_page
from poolaudit.results import AuditResult
from specimens.outcomes import diagonal, from_confusion

# Words the code decides by, and pictures: what a user cannot choose.
_NOT_FREE = {"scope", "code", "outcome", "severity", "kind", "state", "direction", "depth", "decision", "primary"}
_NOT_FREE |= {"metric", "chosen", "mode", "sha256", "action", "never_learns"}
_PNG = "iVBOR"


@pytest.fixture(scope="module")
def whole(trained_digits) -> AuditResult:  # type: ignore[no-untyped-def]
    """An audit of a real model with all stages but the search, and one result of the search beside them."""
    result = run_audit(
        AuditPlan(
            model=trained_digits.model_file,
            test=str(trained_digits.test_file),
            validation=str(trained_digits.validation_file),
            train=str(trained_digits.validation_file),
            positive="8",
            stages=("geometry", "evaluation", "ablation", "leakage"),
            budget="quick",
        )
    )
    broken = PropertyResult(
        "max_pooling2d",
        "oracle",
        Outcome.FAILED,
        "eager",
        "float32",
        None,
        Counterexample("pool_size=2", "print(1)", "0", "1"),
        None,
        3,
    )
    return dataclasses.replace(result, evidence=dataclasses.replace(result.evidence, conformance=(broken,)))


def changed(part: Any, change: Callable[[str], str], field: str = "") -> Any:
    """The same data with every free text changed; equal texts stay equal."""
    if isinstance(part, enum.Enum) or field in _NOT_FREE:
        return part
    if isinstance(part, str):
        return part if part.startswith(_PNG) else change(part)
    if isinstance(part, tuple):
        return tuple(changed(entry, change, field) for entry in part)
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        values = {f.name: changed(getattr(part, f.name), change, f.name) for f in dataclasses.fields(part)}
        return dataclasses.replace(part, **values)
    return part


def hostile_version(result: AuditResult, offset: int) -> AuditResult:
    """Each different text as another hostile one; the text itself follows, so that different texts stay different."""
    known: dict[str, str] = {}

    def change(text: str) -> str:
        if text not in known:
            known[text] = f"{HOSTILE[(len(known) + offset) % len(HOSTILE)]} {len(known)}"
        return known[text]

    return changed(result, change)  # type: ignore[no-any-return]


def test_every_section_of_a_whole_audit_is_rendered(whole: AuditResult) -> None:
    page = build_page(whole)
    assert not [block for section in page.sections for block in section.blocks if isinstance(block, Problem)]
    assert {"metrics", "pooling", "ablation", "conformance", "leakage", "glossary", "method"} <= {
        section.identifier for section in page.sections
    }


@pytest.mark.parametrize("offset", range(0, len(HOSTILE), 11))
def test_hostile_text_in_every_field_stays_text(whole: AuditResult, offset: int) -> None:
    result = hostile_version(whole, offset)
    tame, found = (Document(render_html(r)) for r in (whole, result))
    problems = [b.text for section in build_page(result).sections for b in section.blocks if isinstance(b, Problem)]
    assert problems == []
    assert found.elements - {("code", ""), ("p", "")} <= tame.elements
    assert not [name for name, _ in found.values if name.startswith("on") or name in ("srcdoc", "xlink:href")]
    assert all(value.startswith("data:image/png;base64,iVBOR") for name, value in found.values if name == "src")
    assert all(render_all(result).values())


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_everywhere_breaks_no_layout_and_runs_nothing(
    whole: AuditResult, tmp_path: Path, width: int
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(hostile_version(whole, 0)), encoding="utf-8", errors="replace")
    with browser(tmp_path / "profile", width=width) as driver:
        driver.get("about:blank")
        requests_made(driver)
        driver.get(page.as_uri())
        assert complaints(driver) == []
        asked = [address for address in requests_made(driver) if not address.startswith(("data:", "chrome"))]
        assert asked == [page.as_uri()]
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_whole_report_is_small(whole: AuditResult) -> None:
    assert len(render_html(whole).encode()) < 500_000


def test_a_report_of_two_hundred_classes_fifty_trials_a_thousand_leaks_and_many_layers_is_small(
    whole: AuditResult,
) -> None:
    large = result_of(from_confusion(diagonal(200, 10, 0.8)))
    entry = (whole.evidence.conformance or ())[0]
    layers = tuple(
        dataclasses.replace(entry, layer=f"layer_{i}", property=f"property_{j}") for i in range(30) for j in range(20)
    )
    metrics = (("recall_at_matched_precision", 0.8), ("average_precision", 0.9), ("recall", 0.7), ("precision", 0.9))
    ablation = whole.evidence.ablation
    assert ablation is not None
    trials = tuple(
        TrialRow(arm, seed, "learned", "", 30.0, metrics)
        for arm in ("baseline", *(variant.name for variant in ablation.arms[:4]))
        for seed in range(10)
    )
    rng = np.random.default_rng(0)
    pictures = rng.random((1_000, 16, 16, 1)).astype(np.float32)
    labels = np.arange(1_000) % 200
    leaks = find_leaks((pictures, labels), (pictures, labels)).evidence.leakage
    assert leaks is not None
    assert leaks.test_items_leaked == 1_000
    evidence = dataclasses.replace(
        whole.evidence,
        evaluation=large.evidence.evaluation,
        conformance=layers,
        ablation=dataclasses.replace(ablation, trials=trials),
        leakage=leaks,
    )
    page = render_html(dataclasses.replace(whole, evidence=evidence))
    assert len(page.encode()) < 1_500_000
    print(f"{len(page.encode()):,} bytes")


@pytest.mark.slow
def test_a_hundred_thousand_predictions_render_in_two_seconds() -> None:
    result = result_of(scored(2, 100_000, ("ok", "fraud"), sharpness=1.0), "fraud")
    render_html(result)
    seconds = []
    for _ in range(5):
        clock = time.perf_counter()
        render_html(result)
        seconds.append(time.perf_counter() - clock)
    assert np.median(seconds) < 2
