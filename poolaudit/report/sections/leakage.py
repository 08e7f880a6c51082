"""The section on leakage: what was compared, the pairs to look at, and the metrics without the leak."""

from __future__ import annotations

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import LeakageEvidence, LeakPair, RankingWithoutLeak
from poolaudit.evidence.wording import p_value, percent
from poolaudit.pitfalls.ablation_reading import METRIC_NAMES, class_words
from poolaudit.pitfalls.ablation_without_leak import (
    VariantWithoutLeak,
    overtaken_by,
    shared_places,
    variants_without_leak,
)
from poolaudit.report.blocks import (
    Block,
    Exhibit,
    Gallery,
    Note,
    Picture,
    Section,
    Table,
    estimate_cell,
    estimate_row,
)
from poolaudit.results import AuditResult


def section(result: AuditResult) -> Section | None:
    leak = result.evidence.leakage
    if leak is None:
        return None
    blocks: list[Block] = [_summary(leak), _comparisons(leak)]
    blocks += _galleries(leak)
    if leak.impact.metrics:
        blocks.append(_impact(leak))
    blocks += _trained(result)
    if leak.impact.ranking is not None and leak.impact.ranking.clean:
        blocks.append(_ranking(leak.impact.ranking))
    blocks += [_sensitivity(leak)] if leak.sensitivity else []
    blocks += [_shortcuts(leak)] if leak.shortcuts else []
    return Section("leakage", "Is the test split unseen?", tuple(blocks))


def _summary(leak: LeakageEvidence) -> Note:
    clean = leak.clean_split
    written = f" They are listed in {clean.written}." if clean.written else ""
    if clean.anew is not None:
        sizes = ", ".join(f"{n:,} {name}" for name, n in clean.anew.items)
        written += (
            f" All items divided anew: {sizes}; {clean.anew.kept_together:,} of them stay together with copies or "
            f"their group, {clean.anew.moved:,} change their split, {clean.anew.left_out:,} are left out, and no "
            f"class's share differs by more than {percent(clean.anew.share_difference)}."
        )
    return Note(
        f"The items were read as {leak.layout}. {leak.test_items_leaked:,} of {leak.test_items:,} test items are "
        f"copies of training items ({leak.test_items_exact:,} exact, {leak.test_items_near:,} changed). Without "
        f"copies, shared groups and repeats {clean.test_items:,} test items are left.{written}"
    )


def _comparisons(leak: LeakageEvidence) -> Table:
    return Table(
        "What was compared",
        f"Threshold {leak.threshold:.2f}, calibrated on {leak.calibrated_on}."
        if leak.threshold is not None
        else "Changed copies could not be looked for.",
        ("Split", "Against", "Looked at", "Left out", "Same content", "Changed copies", "How"),
        tuple(
            (
                c.first,
                c.second,
                f"{c.looked_at:,}",
                f"{c.left_out:,}",
                f"{c.exact:,}" + (f" ({c.flat:,} without structure)" if c.flat else ""),
                f"{c.near:,}" if c.near_assessed else "not assessed",
                c.method,
            )
            for c in leak.comparisons
        ),
        "numbers",
    )


def _galleries(leak: LeakageEvidence) -> list[Block]:
    found: list[Block] = []
    more = f" {leak.pairs_left_out:,} further pairs were found." if leak.pairs_left_out else ""
    for title, note, pairs in (
        ("Pairs that show the same", f"The worst first.{more}", leak.pairs),
        ("One content, two labels", f"{leak.conflicting_items:,} items in all.", leak.conflicts),
    ):
        exhibits = tuple(_exhibit(pair) for pair in pairs if pair.first_picture and pair.second_picture)
        if exhibits:
            found.append(Gallery(title, note, exhibits))
        if pairs:
            found.append(_pairs(title, pairs))
    return found


def _exhibit(pair: LeakPair) -> Exhibit:
    return Exhibit(
        (
            Picture(pair.first_picture or "", f"Item {pair.first_name}", pair.first_split),
            Picture(pair.second_picture or "", f"Item {pair.second_name}", pair.second_split),
        ),
        (
            f"{pair.first_name} ({pair.first_label})",
            f"{pair.second_name} ({pair.second_label})",
            f"{pair.link}; distance {pair.distance:.3f}",
        ),
    )


def _pairs(title: str, pairs: tuple[LeakPair, ...]) -> Table:
    return Table(
        f"{title}: list",
        "Distance is the share of the variation that the second item leaves unexplained; score 0 is the default "
        "threshold.",
        ("First", "Label", "Second", "Label", "Linked by", "Distance", "Score"),
        tuple(
            (
                f"{p.first_split}: {p.first_name}",
                p.first_label,
                f"{p.second_split}: {p.second_name}",
                p.second_label,
                p.link,
                f"{p.distance:.3f}",
                "" if p.score is None else f"{p.score:.1f}",
            )
            for p in pairs
        ),
        "",
        True,
    )


def _impact(leak: LeakageEvidence) -> Table:
    accuracy = leak.impact.train_accuracy
    trained = (
        "" if accuracy.value is None else f" Accuracy on a sample of the training items: {percent(accuracy.value)}."
    )
    return Table(
        "The metrics without the leak",
        f"Fisher's exact test, leaked against clean, not corrected for the number of rows.{trained}",
        ("Metric", "All test items", "Clean", "Leaked", "Leaked minus clean", "Test"),
        tuple(
            (
                m.metric if not m.class_name else f"{m.metric} of {m.class_name}",
                estimate_cell(m.all),
                estimate_cell(m.clean),
                estimate_cell(m.leaked),
                estimate_cell(m.difference),
                "" if m.p_value is None else p_value(m.p_value),
            )
            for m in leak.impact.metrics
        ),
        "numbers",
    )


def _trained(result: AuditResult) -> tuple[Block, ...]:
    """The trained variants decided again, or why they were not."""
    before, leak = result.evidence.ablation, result.evidence.leakage
    if before is None or leak is None or leak.impact.ranking is None:
        return ()
    after, variants = leak.impact.ablation, variants_without_leak(result.evidence)
    if after is None or not variants:
        return (Note(leak.impact.ranking.not_ranked),) if leak.impact.ranking.not_ranked else ()
    of_class = ""
    if before.positive is not None:
        of_class = f" ({after.support:,} of the {before.support:,} of {class_words(before)})"
    overtaker = overtaken_by(result.evidence)
    overtaken = {} if overtaker is None else {leak.impact.ranking.leader: f"; overtaken by {overtaker.name}"}
    return (
        Table(
            "The trained variants without the leak",
            f"Change of {METRIC_NAMES[before.primary]} against the baseline: the same trainings, measured from the "
            f"predictions they left and decided by the same rules, on {before.test_items:,} test items and on the "
            f"{after.test_items:,} clean ones{of_class}. "
            f"{' '.join(after.notes)} Leaked against clean: paired by seed, not corrected for the number of rows.",
            (
                "Variant",
                "All test items",
                "Clean",
                "Leaked",
                "Leaked against clean",
                "Place",
                "Decision",
                "Without the leak",
            ),
            tuple(_trained_row(variant, overtaken.get(variant.name, "")) for variant in variants),
            "numbers sentences",
        ),
    )


def _trained_row(variant: VariantWithoutLeak, overtaken: str) -> tuple[str, ...]:
    leaked, test = variant.leaked, "not tested"
    if leaked is not None and leaked.p_value is not None:
        test = p_value(leaked.p_value)
    return (
        variant.name,
        _effect_cell(variant.all),
        _effect_cell(variant.clean),
        "–" if leaked is None else _effect_cell(leaked.effect),
        test,
        _before_after(variant.place, variant.clean_place),
        _before_after(variant.decision, variant.clean_decision),
        f"{variant.state}{overtaken}",
    )


def _before_after(before: object, after: object) -> str:
    return str(after) if before == after else f"{before} → {'–' if after is None else after}"


def _effect_cell(estimate: Estimate) -> str:
    return "–" if estimate.value is None else estimate_cell(estimate, as_percent=False)


def _ranking(ranking: RankingWithoutLeak) -> Table:
    clean, places, clean_places = dict(ranking.clean), shared_places(ranking.all), shared_places(ranking.clean)
    return Table(
        "The exchanged pooling ranked again without the leak",
        f"Difference in {ranking.metric.replace('_', ' ')} when the pooling is exchanged under the shipped weights.",
        ("Variant", "Place, all items", "Difference, all items", "Place, clean items", "Difference, clean items"),
        tuple(
            (
                name,
                str(places[name]),
                f"{value:+.3f}",
                str(clean_places[name]) if name in clean else "not measured",
                f"{clean[name]:+.3f}" if name in clean else "not measured",
            )
            for name, value in ranking.all
        ),
        "numbers",
    )


def _sensitivity(leak: LeakageEvidence) -> Table:
    return Table(
        "What the search would have found",
        "Copies of training items were planted with each change and looked for like the test items.",
        ("Change", "Found", "Interval", "Planted", "Method"),
        tuple(estimate_row(s.change, s.found) for s in leak.sensitivity),
        "numbers",
    )


def _shortcuts(leak: LeakageEvidence) -> Table:
    return Table(
        "Shortcuts to the class",
        "Balanced accuracy of one class against the rest, by a small tree that sees nothing else; chance is 50 %.",
        ("It sees", "Class told best", "Balanced accuracy", "Test"),
        tuple(
            (
                s.name,
                s.class_name or "",
                estimate_cell(s.balanced_accuracy),
                "" if s.p_value is None else p_value(s.p_value),
            )
            for s in leak.shortcuts
        ),
        "numbers",
    )
