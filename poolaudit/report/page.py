"""AuditResult to the plain view data that the template shows; no HTML and no measuring here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from poolaudit.evidence.conformance import PropertyResult
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import EvaluationEvidence, PrecisionRecallCurve
from poolaudit.evidence.geometry import PoolingSite
from poolaudit.evidence.wording import interval, number, p_value, percent
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.report.charts import metrics as charts
from poolaudit.report.charts.chart import Chart
from poolaudit.results import AuditResult, Provenance

_VERDICT_TEXT = {
    Verdict.READY: "Nothing that was checked speaks against releasing this model.",
    Verdict.NEEDS_REVIEW: "Some checks failed. A person must look before this model is released.",
    Verdict.NOT_READY: "Do not release this model as it is.",
    Verdict.INCONCLUSIVE: "The evidence does not decide whether this model can be released.",
}
_SYMBOLS = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.UNDECIDED: "?",
    Outcome.SKIPPED: "–",
    Outcome.CRASHED: "!",
}
_CURVES_SHOWN = 4
_REPLAYS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Badge:
    """An outcome by word, symbol and style name, so never by colour alone."""

    word: str
    symbol: str
    style: str


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the few numbers on the first screen."""

    label: str
    value: str
    interval: str
    note: str


@dataclass(frozen=True, slots=True)
class Card:
    """A finding as a card; `opened` cards show their body without a click."""

    code: str
    title: str
    badge: Badge
    severity: str
    summary: str
    evidence: tuple[tuple[str, str], ...]
    why: str
    how: str
    do: str
    false_alarm: str
    would_change: str
    opened: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of ready text."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Count:
    """How many checks ended in one outcome."""

    badge: Badge
    number: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A counterexample ready to paste and run."""

    heading: str
    badge: Badge
    known: str
    case: str
    observed: str
    expected: str
    script: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template shows, in reading order.

    Attributes:
        title: Of the audit, shown and in the window's title.
        verdict: The verdict in words.
        verdict_style: Style name of the verdict.
        verdict_text: The verdict as a sentence.
        reasons: Up to three sentences that decided.
        further_reasons: How many more there are.
        would_change: What would turn the verdict around.
        headlines: Numbers for the first screen.
        counts: Checks by outcome.
        not_assessed: Pairs of what and why.
        cards: All findings, open ones first.
        charts: Pictures of the evaluation.
        metrics: Table of the overall metrics; None without evaluation.
        classes: Table of the metrics by class; None without evaluation.
        thresholds: Table of what was found about thresholds; None where there is nothing to show.
        sites: Table of the pooling sites; None where no model was looked at.
        conformance: Table of layers against properties; None where no layer was checked.
        replays: Counterexamples to the properties, the layers' own before the framework's.
        replays_left_out: How many further counterexamples only result.json holds.
        stages: Table of what ran and what did not.
        render_problems: Sections that could not be rendered, with the reason.
        provenance: Table of everything needed to run the audit again.
        policy: Table of the thresholds judged by.
        version: poolaudit's version.
    """

    title: str
    verdict: str
    verdict_style: str
    verdict_text: str
    reasons: tuple[str, ...]
    further_reasons: int
    would_change: tuple[str, ...]
    headlines: tuple[Headline, ...]
    counts: tuple[Count, ...]
    not_assessed: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    charts: tuple[Chart, ...]
    metrics: Table | None
    classes: Table | None
    thresholds: Table | None
    sites: Table | None
    conformance: Table | None
    replays: tuple[Replay, ...]
    replays_left_out: int
    stages: Table
    render_problems: tuple[str, ...]
    provenance: Table
    policy: Table
    version: str


def build_page(result: AuditResult) -> Page:
    """View data of a result. A chart that cannot be drawn becomes a visible problem, not a missing page."""
    evaluation = result.evidence.evaluation
    pictures, problems = _charts(result) if evaluation else ((), ())
    checked = result.evidence.conformance
    broken = sorted((r for r in checked or () if r.counterexample), key=lambda r: r.known_divergence is not None)
    return Page(
        title=result.title,
        verdict=result.verdict.value.replace("_", " "),
        verdict_style=result.verdict.value.lower().replace("_", "-"),
        verdict_text=_VERDICT_TEXT[result.verdict],
        reasons=result.decision.reasons[:3],
        further_reasons=max(len(result.decision.reasons) - 3, 0),
        would_change=result.decision.would_change[:4],
        headlines=_headlines(evaluation) if evaluation else (),
        counts=tuple(Count(_badge(outcome), sum(f.outcome is outcome for f in result.findings)) for outcome in Outcome),
        not_assessed=tuple((item.what, item.reason) for item in result.not_assessed),
        cards=tuple(_card(finding) for finding in result.findings),
        charts=pictures,
        metrics=_metrics(evaluation) if evaluation else None,
        classes=_classes(evaluation) if evaluation else None,
        thresholds=_thresholds(evaluation) if evaluation else None,
        sites=_sites(result.evidence.geometry.sites) if result.evidence.geometry else None,
        conformance=_conformance(checked) if checked is not None else None,
        replays=tuple(_replay(r) for r in broken[:_REPLAYS_SHOWN]),
        replays_left_out=max(len(broken) - _REPLAYS_SHOWN, 0),
        stages=_stages(result),
        render_problems=problems,
        provenance=_provenance(result.provenance),
        policy=_policy(result),
        version=dict(result.provenance.versions).get("poolaudit", ""),
    )


def _badge(outcome: Outcome) -> Badge:
    return Badge(outcome.value, _SYMBOLS[outcome], outcome.value.lower())


def _card(finding: Finding) -> Card:
    return Card(
        code=finding.code,
        title=finding.title,
        badge=_badge(finding.outcome),
        severity=finding.severity.value,
        summary=finding.summary,
        evidence=tuple((fact.label, fact.value) for fact in finding.evidence),
        why=finding.why,
        how=finding.how,
        do=finding.do,
        false_alarm=finding.false_alarm,
        would_change=finding.would_change or "",
        opened=finding.is_open,
    )


def _headlines(evaluation: EvaluationEvidence) -> tuple[Headline, ...]:
    test = evaluation.no_information
    shown = [
        Headline(
            "Accuracy",
            percent(evaluation.accuracy.value),
            interval(evaluation.accuracy, as_percent=True),
            f"always answering {test.majority_class!r}: {percent(test.rate)}",
        )
    ]
    if evaluation.positive is not None:
        of_interest = next(c for c in evaluation.per_class if c.name == evaluation.positive)
        label = f" of {of_interest.name!r}"
    else:
        judged = [c for c in evaluation.per_class if c.recall.value is not None]
        of_interest = min(judged, key=lambda c: c.recall.value or 0.0)
        label = f" of the weakest class, {of_interest.name!r}"
    shown.append(
        Headline(
            "Recall" + label,
            percent(of_interest.recall.value),
            interval(of_interest.recall, as_percent=True),
            f"{of_interest.false_negatives:,} of {of_interest.support:,} missed",
        )
    )
    alarms = of_interest.true_positives + of_interest.false_positives
    shown.append(
        Headline(
            f"Precision of {of_interest.name!r}",
            percent(of_interest.precision.value),
            interval(of_interest.precision, as_percent=True),
            f"{of_interest.false_positives:,} of {alarms:,} alarms are false" if alarms else "never predicted",
        )
    )
    return tuple(shown)


def _charts(result: AuditResult) -> tuple[tuple[Chart, ...], tuple[str, ...]]:
    evaluation = result.evidence.evaluation
    assert evaluation is not None
    calibration = evaluation.calibration
    drawn: list[tuple[str, Callable[[], Chart | None]]] = [
        ("Confusion matrix", lambda: charts.confusion_matrix(evaluation)),
        *(
            (
                f"Precision-recall curve of {curve.class_name!r}",
                lambda c=curve, i=index: charts.precision_recall(c, result.policy, i),
            )
            for index, curve in enumerate(_curves(evaluation))
        ),
        ("Recall by class", lambda: charts.recall_by_class(evaluation, result.policy)),
        ("Reliability", lambda: charts.reliability(calibration) if calibration else None),
    ]
    pictures, problems = [], []
    for name, draw in drawn:
        try:
            picture = draw()
        except Exception as error:
            problems.append(f"{name} could not be drawn ({type(error).__name__}: {str(error)[:200]}).")
        else:
            if picture is not None:
                pictures.append(picture)
    return tuple(pictures), tuple(problems)


def _curves(evaluation: EvaluationEvidence) -> list[PrecisionRecallCurve]:
    """The class of interest's curve; else the weakest classes' by average precision. Two classes mirror each other."""
    curves = list(evaluation.curves)
    if evaluation.positive is not None:
        curves = [c for c in curves if c.class_name == evaluation.positive]
    ranking = {c.name: c.average_precision.value for c in evaluation.per_class}
    curves.sort(key=lambda c: (ranking.get(c.class_name) or 0.0, c.class_name))
    return curves[:_CURVES_SHOWN]


def _metrics(evaluation: EvaluationEvidence) -> Table:
    rows = [
        _row("Accuracy", evaluation.accuracy),
        _row("Balanced accuracy", evaluation.balanced_accuracy),
        _row("Matthews correlation coefficient", evaluation.matthews_correlation, as_percent=False),
        _row("Cohen's kappa", evaluation.cohens_kappa, as_percent=False),
    ]
    for averaged in evaluation.averages:
        rows += [
            _row(f"Precision, {averaged.average}", averaged.precision),
            _row(f"Recall, {averaged.average}", averaged.recall),
            _row(f"F1, {averaged.average}", averaged.f1, as_percent=False),
        ]
    rows += [
        _row("Log loss", evaluation.log_loss, as_percent=False),
        _row("Loss the model was compiled with", evaluation.loss, as_percent=False),
    ]
    if evaluation.calibration:
        rows += [
            _row("Brier score", evaluation.calibration.brier_score, as_percent=False),
            _row("Expected calibration error", evaluation.calibration.expected_calibration_error, as_percent=False),
        ]
    test = evaluation.no_information
    note = (
        f"n = {evaluation.n:,} test items. Always answering {test.majority_class!r} would reach an accuracy of "
        f"{percent(test.rate)} ({p_value(test.p_value)} if the model were no better). {evaluation.head}"
    )
    return Table("Metrics over all classes", note, ("Metric", "Value", "Interval", "n", "Method"), tuple(rows))


def _classes(evaluation: EvaluationEvidence) -> Table:
    rows = []
    for c in evaluation.per_class:
        marker = " (class of interest)" if c.name == evaluation.positive else ""
        rows.append(
            (
                c.name + marker,
                f"{c.support:,}",
                _cell(c.recall),
                _cell(c.precision),
                _cell(c.specificity),
                _cell(c.f1, as_percent=False),
                _cell(c.average_precision, as_percent=False),
                _cell(c.roc_auc, as_percent=False),
            )
        )
    first = evaluation.per_class[0]
    return Table(
        "Metrics by class",
        f"In brackets: {100 * first.recall.confidence:g} % intervals. Rates: {first.recall.method}; F1: "
        f"{first.f1.method}; average precision: {first.average_precision.method}; ROC AUC: {first.roc_auc.method}.",
        ("Class", "n", "Recall", "Precision", "Specificity", "F1", "Average precision", "ROC AUC"),
        tuple(rows),
    )


def _thresholds(evaluation: EvaluationEvidence) -> Table | None:
    if not evaluation.thresholds:
        return None
    rows = []
    for advice in evaluation.thresholds:
        if advice.threshold is None:
            rows.append((advice.class_name, "none recommended", "", "", advice.reason or ""))
        else:
            rows.append(
                (
                    advice.class_name,
                    number(advice.threshold, 4),
                    _cell(advice.recall) if advice.recall else "",
                    _cell(advice.precision) if advice.precision else "",
                    f"chosen on the {advice.chosen_on}",
                )
            )
    return Table(
        "Threshold",
        "A threshold is only recommended from data other than the test split it is judged on.",
        ("Class", "Threshold", "Recall on the test split", "Precision on the test split", "Where it comes from"),
        tuple(rows),
    )


def _sites(sites: tuple[PoolingSite, ...]) -> Table:
    return Table(
        "Pooling sites",
        f"{len(sites)} found, in order of execution."
        if sites
        else "No pooling operation was found in this model; see what could not be looked into.",
        ("Site", "Layer", "Kind", "Window", "Strides", "Padding", "Input shape", "Output shape", "Found by"),
        tuple(
            (
                site.name,
                site.layer,
                site.kind.replace("_", " "),
                _sizes(site.window),
                _sizes(site.strides),
                site.padding or "",
                _shape(site.input_shape),
                _shape(site.output_shape),
                site.found_by,
            )
            for site in sites
        ),
    )


def _conformance(results: tuple[PropertyResult, ...]) -> Table:
    """A row a layer and property; every mode and dtype tried stands in it under its outcome."""
    cells: dict[tuple[str, str], dict[Outcome, list[str]]] = {}
    for r in results:
        known = " (known divergence of the framework)" if r.known_divergence else ""
        tried = cells.setdefault((r.layer, r.property), {})
        tried.setdefault(r.outcome, []).append(f"{r.mode} {r.dtype}{known}")
    tries = Counter[tuple[str, str]]()
    for r in results:
        tries[r.layer, r.property] += r.examples
    worst_first = [Outcome.FAILED, Outcome.CRASHED, Outcome.UNDECIDED, Outcome.PASSED, Outcome.SKIPPED]
    rows = [
        (
            layer,
            name,
            "; ".join(
                f"{_SYMBOLS[outcome]} {outcome}: {', '.join(tried[outcome])}"
                for outcome in worst_first
                if outcome in tried
            ),
            f"{tries[layer, name]:,}",
        )
        for (layer, name), tried in cells.items()
    ]
    return Table(
        "Properties of the layers",
        "Each property was attacked with drawn configurations and inputs in the modes and dtypes named. PASSED means "
        "that no counterexample was found in the number of cases given.",
        ("Layer", "Property", "Outcome by mode and dtype", "Cases"),
        tuple(rows),
    )


def _replay(result: PropertyResult) -> Replay:
    case = result.counterexample
    assert case is not None
    return Replay(
        heading=f"{result.property} of {result.layer} ({result.mode}, {result.dtype})",
        badge=_badge(result.outcome),
        known=result.known_divergence or "",
        case=case.configuration,
        observed=case.observed,
        expected=case.expected,
        script=case.snippet,
    )


def _stages(result: AuditResult) -> Table:
    return Table(
        "What ran",
        "",
        ("Stage", "Outcome", "Seconds", "Reason"),
        tuple(
            (
                stage.name,
                f"{_SYMBOLS[stage.outcome]} {stage.outcome}",
                f"{stage.duration_seconds:.1f}",
                stage.reason or "",
            )
            for stage in result.stages
        ),
    )


def _provenance(provenance: Provenance) -> Table:
    rows = [
        ("Command", provenance.command),
        ("Started (UTC)", provenance.started),
        ("Duration", f"{provenance.duration_seconds:.1f} s"),
        ("Seed", str(provenance.seed)),
        ("Platform", provenance.platform),
        ("Versions", ", ".join(f"{name} {version}" for name, version in provenance.versions)),
    ]
    if model := provenance.model:
        parameters = f", {model.parameters:,} parameters" if model.parameters is not None else ""
        rows += [
            ("Model", f"{model.name} ({model.source}; {model.format}{parameters})"),
            ("Model SHA-256", model.sha256 or "none: the model came from code"),
            ("Model input shape", _shape(model.input_shape)),
        ]
        rows += [("About the model", note) for note in model.notes]
    for data in provenance.data:
        rows += [
            (f"Data, {data.split}", f"{data.source}, {data.items:,} items"),
            (f"SHA-256, {data.split}", data.sha256),
        ]
        rows += [(f"About the data, {data.split}", note) for note in data.notes]
    return Table("Provenance", "", ("What", "Value"), tuple(rows))


def _policy(result: AuditResult) -> Table:
    from dataclasses import fields

    return Table(
        "Policy",
        "The thresholds that turned numbers into findings.",
        ("Key", "Value"),
        tuple((field.name, str(getattr(result.policy, field.name))) for field in fields(result.policy)),
    )


def _row(name: str, estimate: Estimate, *, as_percent: bool = True) -> tuple[str, ...]:
    if estimate.value is None:
        return (name, "not estimable", "", f"{estimate.n:,}", estimate.reason or "")
    value = percent(estimate.value) if as_percent else number(estimate.value)
    method = estimate.method if estimate.low is not None else f"{estimate.method}; no interval: {estimate.reason}"
    return (name, value, interval(estimate, as_percent=as_percent), f"{estimate.n:,}", method)


def _cell(estimate: Estimate, *, as_percent: bool = True) -> str:
    if estimate.value is None:
        return f"not estimable: {estimate.reason}"
    value = percent(estimate.value) if as_percent else number(estimate.value)
    span = interval(estimate, as_percent=as_percent)
    return f"{value} ({span})" if span else value


def _sizes(sizes: tuple[int, ...] | None) -> str:
    return "" if sizes is None else " × ".join(str(size) for size in sizes)


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "not known" if shape is None else " × ".join("?" if size is None else str(size) for size in shape)
