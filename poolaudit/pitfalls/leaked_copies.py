"""Copies of training items in the test split, and what they do to the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import LeakageEvidence, MetricWithoutLeak
from poolaudit.evidence.wording import p_value, percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity, Verdict
from poolaudit.pitfalls.ablation_reading import points
from poolaudit.pitfalls.ablation_without_leak import (
    CHANGED,
    OPEN,
    VariantWithoutLeak,
    decided_words,
    exchanged_facts,
    overtaken_by,
    trained_facts,
    variants_without_leak,
)
from poolaudit.pitfalls.detector import Judgement, detect, detector
from poolaudit.pitfalls.verdict import decide
from poolaudit.policy import Policy
from poolaudit.results import Evidence, StageResult
from poolaudit.statistics.binomial import probability_at_least

_LARGE_SHARE = 0.01
_SEEN_ENOUGH = 0.8
_PAIRS_NAMED = 5
_CONTENTS_NAMED = 2_000
# So many matches or more are this likely where none is a copy.
_BY_CHANCE = 0.01
# The checks of what the pooling costs, which rest on the ablation.
_POOLING = ("PA35",)
# Verdicts that hold a release back, the worse one last.
_BAD = (Verdict.NEEDS_REVIEW, Verdict.NOT_READY)


def no_leakage_stage() -> Judgement:
    """The judgement where the splits were not compared."""
    return Judgement(
        Outcome.SKIPPED, "The test data were not compared with training data; give them with --train to do so."
    )


def by_chance(matches: int, looked_at: int, rate: float) -> bool:
    """Whether so many matches, or more, are no rarity where none is a copy; `rate` is that of false matches an item."""
    return probability_at_least(matches, looked_at, rate) > _BY_CHANCE


@detector("PA401", Severity.MAJOR)
def no_test_item_is_a_copy_of_a_training_item(evidence: Evidence, policy: Policy) -> Judgement:
    """No test item is a copy of a training item.

    Why: A model is right on what it has seen; a test that repeats training items measures memory, and the metrics look
        better than the model will be.
    How: The same content, whatever its dtype or scale, and changed copies: recompressed, resized, brighter, noisy,
        shifted, cropped, flipped, turned. Candidates come from a search over descriptors; a pair counts only after
        it was brought into register and compared on its pixels, by a threshold calibrated on how close distinct
        training items come to each other. Minor below 1 % of the test items, critical where the verdict rests on them
        (PA408). Undecided where there are no more changed copies than that threshold lets through by chance.
    Do: Take the copies out of the test split (`--clean-split` writes what is left), or out of the training data and
        train again. Split by origin before augmenting.
    False alarm: Different items that look the same down to the pixel, such as blank or synthetic ones. Look at the
        pairs in the report.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    looked_at = next(c.looked_at for c in leak.comparisons if (c.first, c.second) == ("test", "train"))
    facts = _facts(leak)
    if leak.test_items_leaked:
        share = leak.test_items_leaked / looked_at
        pairs = [p for p in leak.pairs if (p.first_split, p.second_split) == ("test", "train")][:_PAIRS_NAMED]
        severity = Severity.MAJOR if share >= _LARGE_SHARE else Severity.MINOR
        named = tuple(Fact(p.first_name, f"{p.second_name}: {p.link}") for p in pairs)
        rate = leak.false_match_rate or 0.0
        if not leak.test_items_exact and by_chance(leak.test_items_near, looked_at, rate):
            return Judgement(
                Outcome.UNDECIDED,
                f"{leak.test_items_near:,} of {looked_at:,} test items look like changed copies of training items; "
                f"about {rate * looked_at:.2g} would by chance, so these may be items that merely look alike.",
                (*facts, *named),
                "A look at the pairs in the report.",
                Severity.MINOR,
                _subjects(leak, share, is_shown=False),
            )
        return Judgement(
            Outcome.FAILED,
            f"{leak.test_items_leaked:,} of {looked_at:,} test items ({percent(share)}) are copies of training items: "
            f"{leak.test_items_exact:,} with the same content and {leak.test_items_near:,} changed copies.",
            (*facts, *named),
            "A test split without these items.",
            severity,
            _subjects(leak, share),
        )
    if not any(c.near_assessed for c in leak.comparisons if (c.first, c.second) == ("test", "train")):
        return Judgement(
            Outcome.UNDECIDED,
            "No test item has the content of a training item; changed copies could not be looked for.",
            facts,
            "At least two training items.",
            Severity.MINOR,
            (Subject("changed copies", is_shown=False),),
        )
    blind = [s for s in leak.sensitivity if (s.found.high or 0.0) < _SEEN_ENOUGH]
    unseen = f"; {len(blind)} {'kind' if len(blind) == 1 else 'kinds'} of change could hide one here" if blind else ""
    left_out = leak.test_items - looked_at
    return Judgement(
        Outcome.PASSED,
        f"None of {looked_at:,} test items looked at is a copy of a training item, as far as the search can see"
        f"{unseen}." + (f" {left_out:,} were not looked at." if left_out else ""),
        facts,
    )


@detector("PA408", Severity.CRITICAL)
def the_metrics_hold_without_the_leak(evidence: Evidence, policy: Policy) -> Judgement:
    """The metrics hold without the leak.

    Why: What counts is how the model does on items it has not seen. If a demand is met only with the leaked items, it
        is not met.
    How: Accuracy, recall and precision on all test items, on those that are no copies, and on the copies, each with
        its interval, with Fisher's exact test between the last two. Then every other check judges once more, on the
        clean items alone, and the verdict is given with both. The ablation is measured again on the clean items:
        exchanged pooling, and the trained variants from the predictions that their trainings left, by the same rules.
        Fails where a metric meets its bar on all items and is below it on the clean ones, where the verdict is worse
        without the leak, and (as a major finding) where a decision of the ablation changes: it contradicts the one on
        all items, or it differs, and leaked and clean items differ in the effect beyond chance; or where the variant
        that is best on all items is shown to be worse than another on the clean ones. A decision that is lost with
        the items left out has not changed, and one that is gained without them, with no difference beyond chance, does
        not worsen the verdict. Undecided where the effects lie apart by more than the smallest one that matters and the
        leaked items alone have none to test that by. The trainings themselves saw the originals of the leaked items.
    Do: Report the metrics on the clean items, and decide by those.
    False alarm: Few clean items: then the interval is wide, and this check says it cannot tell.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    shared = leak.groups.test_items if leak.groups is not None and leak.groups.is_certain else 0
    if leak.test_items_leaked == 0 and shared:
        return Judgement(
            Outcome.SKIPPED,
            f"Copies alone are left out here, and there are none; the {shared:,} test items of groups in the "
            "training split, too, are in all metrics (PA402); what holds without them is not known.",
        )
    if leak.test_items_leaked == 0 and evidence.evaluation is None:
        return Judgement(Outcome.SKIPPED, "There are no leaked items, and no metrics were measured.")
    if leak.test_items_leaked == 0:
        return Judgement(Outcome.PASSED, "There are no leaked items, so the metrics are those of clean items.")
    if leak.impact.reason is not None:
        return Judgement(Outcome.SKIPPED, f"The effect on the metrics was not measured: {leak.impact.reason}.")
    watched = [(m, _bar(m, policy)) for m in leak.impact.metrics if _is_watched(m, evidence)]
    lost = [(m, bar) for m, bar in watched if _below(m.clean, bar) and not _below(m.all, bar) and _meets(m.all, bar)]
    variants = variants_without_leak(evidence)
    without = _judged_without(evidence, policy, variants)
    facts = (
        *(_fact(m) for m, _ in watched[:12]),
        *without.facts,
        *trained_facts(evidence),
        *exchanged_facts(leak),
    )
    if lost:
        worst, bar = min(lost, key=lambda pair: (pair[0].clean.value or 0.0) - pair[1])
        return Judgement(
            Outcome.FAILED,
            f"{_name(worst)} is {percent(worst.all.value)} on all test items and {percent(worst.clean.value)} without "
            f"the {leak.test_items_leaked:,} leaked ones: the demand of {percent(bar)} is met only with the leak.",
            facts,
            f"{_name(worst)} at or above {percent(bar)} on clean items.",
            subjects=tuple(Subject(_name(m)) for m, _ in lost),
        )
    if without.is_worse:
        return Judgement(
            Outcome.FAILED,
            f"Apart from the leak itself the verdict is {_word(without.all)} on all test items and "
            f"{_word(without.clean)} without the {leak.test_items_leaked:,} leaked ones.",
            facts,
            "The same verdict on clean items.",
            subjects=(Subject(f"verdict {_word(without.clean)}"),),
        )
    otherwise = [variant for variant in variants if variant.state == CHANGED]
    if otherwise:
        first = _moved_most(otherwise)
        is_weaker = first.decision == first.clean_decision
        return Judgement(
            Outcome.FAILED,
            f"The ablation decides otherwise on {len(otherwise)} of {len(variants)} trained variants without the leak: "
            f"{first.name!r} is {decided_words(first.decision, first.all)} on all test items and "
            f"{decided_words(first.clean_decision, first.clean)} on the clean ones"
            + (", where more than the smallest effect that matters is not shown." if is_weaker else "."),
            facts,
            "The same decisions on clean items; or decide by those on the clean ones.",
            Severity.MAJOR,
            tuple(Subject(f"decision on {variant.name}") for variant in otherwise),
        )
    overtaker = overtaken_by(evidence)
    if overtaker is not None and leak.impact.ranking is not None:
        return Judgement(
            Outcome.FAILED,
            f"The ablation's ranking changes without the leak: {leak.impact.ranking.leader!r} is the best trained "
            f"variant on all test items, and on the clean ones {overtaker.name!r} does better "
            f"({points(overtaker.difference)}).",
            facts,
            "The same best variant on clean items; or choose by the clean ones.",
            Severity.MAJOR,
            (Subject(f"best variant {leak.impact.ranking.leader}"),),
        )
    untold = [variant for variant in variants if variant.state == OPEN]
    if untold:
        first = _moved_most(untold)
        return Judgement(
            Outcome.UNDECIDED,
            f"{first.name!r} is {decided_words(first.decision, first.all)} on all test items and "
            f"{decided_words(first.clean_decision, first.clean)} on the clean ones; whether that is chance cannot be "
            "told, because there is no such effect on the leaked items alone.",
            facts,
            "More clean test items; until then, decide by those that there are.",
            Severity.MAJOR,
            tuple(Subject(f"decision on {variant.name}", is_shown=False) for variant in untold),
        )
    moved = [m for m, _ in watched if m.p_value is not None and m.p_value < 0.05 / max(len(watched), 1)]
    unclear = [m for m, bar in watched if _meets(m.all, bar) and not _meets(m.clean, bar)]
    if unclear:
        return Judgement(
            Outcome.UNDECIDED,
            f"{_name(unclear[0])} meets its bar on all test items; the {unclear[0].clean.n:,} clean ones are too few "
            "to show that it does without the leak.",
            facts,
            "More clean test items.",
            Severity.MAJOR,
            tuple(Subject(_name(m), is_shown=False) for m in unclear),
        )
    if without.is_open:
        return Judgement(
            Outcome.UNDECIDED,
            f"Apart from the leak itself the verdict is {_word(without.all)} on all test items and cannot be given on "
            "the clean ones: they are too few.",
            facts,
            "More clean test items.",
            Severity.MAJOR,
        )
    return Judgement(
        Outcome.PASSED,
        "No demand is met only because of the leaked items."
        + (f" {_name(moved[0])} differs between leaked and clean items, but not across its bar." if moved else "")
        + _ablation_words(variants, leak),
        facts,
    )


def _moved_most(variants: Sequence[VariantWithoutLeak]) -> VariantWithoutLeak:
    return max(variants, key=lambda v: abs((v.all.value or 0.0) - (v.clean.value or 0.0)))


def _ablation_words(variants: Sequence[VariantWithoutLeak], leak: LeakageEvidence) -> str:
    if any(variant.decision != "undecided" for variant in variants):
        return " Without them no decision of the ablation and no best variant is shown to change."
    if leak.impact.ranking is not None and leak.impact.ranking.not_ranked:
        return " How the trained variants do without them was not measured."
    return ""


@dataclass(frozen=True, slots=True)
class _Without:
    """The verdict by everything but leakage, with and without the leaked items; None where it was not given."""

    all: Verdict | None = None
    clean: Verdict | None = None
    facts: tuple[Fact, ...] = ()

    @property
    def is_worse(self) -> bool:
        return self.clean in _BAD and _BAD.index(self.clean) > (_BAD.index(self.all) if self.all in _BAD else -1)

    @property
    def is_open(self) -> bool:
        return self.clean is Verdict.INCONCLUSIVE and self.all is Verdict.READY


def _word(verdict: Verdict | None) -> str:
    return "not given" if verdict is None else verdict.value


def _judged_without(evidence: Evidence, policy: Policy, variants: Sequence[VariantWithoutLeak]) -> _Without:
    leak = evidence.leakage
    if leak is None or evidence.evaluation is None:
        return _Without()
    if leak.impact.evaluation is None:
        return _Without(facts=(Fact("Verdict without the leak", "not given: too few clean items"),))
    codes = tuple(f"PA{series}" for series in (1, 2, 3, 5))
    before = detect(evidence, policy, codes)
    after = detect(replace(evidence, evaluation=leak.impact.evaluation), policy, codes)
    stages = (StageResult("evaluation", Outcome.PASSED, 0.0, None),)
    first, second = decide(before, stages)[0], decide(after, stages)[0]
    if leak.impact.ablation is not None:
        pooling = detect(replace(evidence, ablation=leak.impact.ablation), policy, _POOLING)
        judged = (*(f for f in after if not f.code.startswith(_POOLING)), *pooling)
        third = decide(judged, stages)[0]
        # Few leaked items more or less decide a race that stopped as soon as it could: no reason for doubt.
        is_noise = third is Verdict.INCONCLUSIVE and leak.test_items_leaked < _LARGE_SHARE * leak.test_items
        # Nor is a gain that is shown on the clean items alone, unless leaked and clean ones differ beyond chance.
        is_chance = bool(variants) and not any(variant.state == CHANGED for variant in variants)
        if not is_noise and not (is_chance and _Without(second, third).is_worse):
            second = third
        after = tuple(sorted(judged, key=lambda finding: finding.code))
    outcomes = {finding.code: finding.outcome for finding in before}
    changed = [
        Fact(f"{finding.code} {finding.title}", f"{outcomes[finding.code].value}; clean {finding.outcome.value}")
        for finding in after
        if finding.outcome is not outcomes[finding.code]
    ]
    return _Without(
        first, second, (Fact("Verdict apart from leakage", f"all {first.value}, clean {second.value}"), *changed[:8])
    )


def _subjects(leak: LeakageEvidence, share: float, *, is_shown: bool = True) -> tuple[Subject, ...]:
    """The leaked items by their content; of very many, the share alone."""
    contents = leak.leaked_contents if len(leak.leaked_contents) <= _CONTENTS_NAMED else ()
    named = (Subject(f"item {content}", is_shown) for content in contents)
    return (Subject("leaked share", is_shown, extent=(share, share)), *named)


def _facts(leak: LeakageEvidence) -> tuple[Fact, ...]:
    facts = [
        Fact(
            f"{c.first} against {c.second}", f"{c.exact:,} exact and {c.near:,} changed of {c.looked_at:,}; {c.method}"
        )
        for c in leak.comparisons
        if c.first != c.second
    ]
    facts += [Fact(f"Found of planted copies, {s.change}", with_interval(s.found)) for s in leak.sensitivity]
    if leak.low_information_items:
        facts.append(Fact("Test items too plain for more than an exact match", f"{leak.low_information_items:,}"))
    return tuple(facts)


def _is_watched(metric: MetricWithoutLeak, evidence: Evidence) -> bool:
    positive = None if evidence.evaluation is None else evidence.evaluation.positive
    return metric.metric == "accuracy" or positive is None or metric.class_name == positive


def _bar(metric: MetricWithoutLeak, policy: Policy) -> float:
    return {"accuracy": policy.good_accuracy, "recall": policy.good_recall, "precision": policy.good_precision}[
        metric.metric
    ]


def _below(estimate: Estimate, bar: float) -> bool:
    """The whole interval lies below the bar, or the point does and the interval reaches hardly above."""
    return estimate.value is not None and estimate.value < bar and (estimate.high or 1.0) < bar


def _meets(estimate: Estimate, bar: float) -> bool:
    return estimate.value is not None and estimate.value >= bar


def _name(metric: MetricWithoutLeak) -> str:
    return "Accuracy" if metric.metric == "accuracy" else f"{metric.metric.capitalize()} of {metric.class_name!r}"


def _fact(metric: MetricWithoutLeak) -> Fact:
    test = "" if metric.p_value is None else f"; leaked against clean {p_value(metric.p_value)}"
    return Fact(
        _name(metric),
        f"all {percent(metric.all.value)}, clean {percent(metric.clean.value)}, leaked "
        f"{percent(metric.leaked.value)}{test}",
    )
