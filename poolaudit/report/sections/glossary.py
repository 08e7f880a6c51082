"""The words of the report for readers who are no specialists."""

from __future__ import annotations

from poolaudit.report.blocks import Section, Table
from poolaudit.results import AuditResult

_ALWAYS = (
    ("Interval", "The range in which the true value lies, in 95 of 100 such audits; more items make it narrower."),
    ("n", "How many items a number rests on."),
    ("Undecided", "The data do not tell whether the bar is met; the finding says how many further items would."),
    ("Skipped, crashed", "Not assessed: nothing is known, good or bad."),
    ("p", "How often chance alone would show at least this much, if there were nothing; small means: hardly chance."),
)
_METRICS = (
    ("Class of interest", "The class whose misses hurt, such as fraud or a tumour."),
    ("Recall", "Of the true cases, the share the model finds. The rest is missed."),
    ("Precision", "Of the model's alarms, the share that is true. The rest is false alarm."),
    ("Accuracy", "The share of all items that are right; where one class is rare it says little about that class."),
    ("Accuracy paradox", "High accuracy from the frequent class alone, while the rare one is missed."),
    ("Threshold", "The score from which on the model says yes. Lower finds more and raises more false alarms."),
    ("Average precision", "How well the scores rank true cases before others, over all thresholds; 1 is perfect."),
    ("Calibration", "Whether a stated probability of 80 % is right in 80 of 100 cases."),
)
_POOLING = (
    ("Pooling", "Summing up neighbouring values by one, such as their maximum or mean: the picture gets smaller."),
    ("Receptive field", "The part of the input that one value inside the network can see."),
    ("Blind spot", "A part of the input that cannot change the answer, whatever stands there."),
    ("Stride", "By how many cells the window moves; 2 halves the picture."),
)
_LAYERS = (
    ("Property", "A statement every correct layer of a kind satisfies, tried on many drawn cases."),
    ("Counterexample", "The smallest case found that breaks a property; its script replays it."),
    ("Known divergence", "A defect of the framework itself, listed and not charged to the layer."),
)
_ABLATION = (
    ("Variant", "The same model with one pooling decision changed."),
    ("Trial", "One variant trained or evaluated once, with one seed of its random numbers."),
    ("Effect", "Variant minus baseline on one metric, on the same items with the same seeds."),
    ("Collapsed", "A training that never learned; shown and counted, not averaged in."),
)
_LEAKAGE = (
    ("Leakage", "Test items, or traces of them, that the model saw in training: the metric looks better than it is."),
    ("Near-duplicate", "The same picture again, compressed, shifted, turned or otherwise changed a little."),
)


def section(result: AuditResult) -> Section:
    evidence = result.evidence
    parts = (
        (True, _ALWAYS),
        (evidence.evaluation is not None, _METRICS),
        (evidence.geometry is not None, _POOLING),
        (evidence.conformance is not None, _LAYERS),
        (evidence.ablation is not None, _ABLATION),
        (evidence.leakage is not None, _LEAKAGE),
    )
    rows = tuple(row for is_needed, part in parts if is_needed for row in part)
    return Section("glossary", "Words used here", (Table("Glossary", "", ("Word", "Meaning"), rows, "keys"),))
