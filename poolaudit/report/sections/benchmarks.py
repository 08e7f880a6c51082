"""The section on the speed of the pooling: each site in both directions, and ratios to an earlier run."""

from __future__ import annotations

from poolaudit.evidence.benchmarks import BenchmarkEvidence
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.wording import duration, percent, times
from poolaudit.report.blocks import Block, Note, Section, Table, shape_text
from poolaudit.results import AuditResult


def section(result: AuditResult) -> Section | None:
    evidence = result.evidence.benchmarks
    if evidence is None:
        return None
    blocks: list[Block] = [_speeds(evidence)]
    if evidence.compared_with is not None:
        blocks.append(_ratios(evidence))
    without = [f"{e.site} ({e.variant}): {e.without_gradient}" for e in evidence.layers if e.without_gradient]
    blocks += [Note(f"No gradient was measured for {text}.") for text in without]
    blocks += [Note(f"Not measured: {text}.") for text in evidence.not_measured]
    return Section("speed", "Speed of the pooling", tuple(blocks))


def _speeds(evidence: BenchmarkEvidence) -> Table:
    rows = [
        (
            entry.site,
            entry.variant,
            entry.dtype,
            f"{shape_text(entry.input_shape)} → {shape_text(entry.output_shape)}",
            timing.direction,
            _between(timing.seconds),
            f"{timing.items_per_second:,.0f}",
            f"{timing.bytes_moved / 2**20:,.2f} MiB",
            _share(timing.bandwidth_share),
        )
        for entry in evidence.layers
        for timing in entry.timings
    ]
    copied = evidence.bytes_per_second
    spread = (
        ""
        if copied.low is None or copied.high is None
        else f" ({copied.low / 1e9:.1f} to {copied.high / 1e9:.1f}, {100 * copied.confidence:g} % interval)"
    )
    return Table(
        "Forward pass and gradient at the model's shapes",
        f"On {evidence.device}. All were timed in turns with a copy of memory by {evidence.threads} threads, which "
        f"moved {(copied.value or 0) / 1e9:.1f} GB/s{spread}; the share is of that. The bytes are the least that have "
        "to move: input and output once, in a gradient twice. A share above 100 % means that the maps stay in a cache. "
        f"An empty call takes {duration(evidence.call_seconds)}, which is part of every time here.",
        ("Site", "Variant", "Dtype", "Shapes", "Direction", "A call", "Items a second", "Bytes", "Share of bandwidth"),
        tuple(rows),
        "numbers",
    )


def _ratios(evidence: BenchmarkEvidence) -> Table:
    return Table(
        f"Against {evidence.compared_with}",
        "New time over old time: below 1 is faster. The interval holds what the intervals of both runs allow, which "
        "is what varied within each run. Between two runs a machine changes by more: what the control changed by, the "
        "layers may have changed by for no reason of theirs. Repeat both runs before you call a few percent a change.",
        ("Case", "Ratio"),
        tuple((entry.case, times(entry.ratio)) for entry in evidence.ratios),
        "numbers",
    )


def _between(seconds: Estimate) -> str:
    span = "" if seconds.low is None else f" ({duration(seconds.low)} to {duration(seconds.high)})"
    return f"{duration(seconds.value)}{span}"


def _share(share: Estimate) -> str:
    if share.value is None:
        return f"not estimable: {share.reason}"
    span = "" if share.low is None else f" ({percent(share.low)} to {percent(share.high)})"
    return f"{percent(share.value)}{span}"
