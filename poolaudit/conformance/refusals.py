"""Whether a layer that refuses some valid cases does so for a reason that can be told."""

from __future__ import annotations

from collections.abc import Sequence

from poolaudit.conformance.case import Case
from poolaudit.conformance.violations import Refused


def features(case: Case) -> frozenset[str]:
    """What a layer might not support about a case, in words."""
    configuration = case.configuration
    sizes = configuration.spatial_shape(case.input_shape)
    found = {f"{configuration.data_format}", f"dtype {case.dtype}"}
    if configuration.layout == "windowed":
        window, strides = configuration.effective_window, configuration.effective_strides
        found.add(f"padding {configuration.padding!r}")
        if any(k > n for k, n in zip(window, sizes, strict=True)):
            found.add("a window larger than the input")
        if any(s > k for k, s in zip(window, strides, strict=True)):
            found.add("strides larger than the window")
        if any(s < k for k, s in zip(window, strides, strict=True)):
            found.add("overlapping windows")
        if any(n % s for n, s in zip(sizes, strides, strict=True)):
            found.add("sizes that the strides do not divide")
        if len(set(window)) > 1:
            found.add("unequal window sizes")
        if len(set(strides)) > 1:
            found.add("unequal strides")
        if any(rate > 1 for rate in configuration.effective_dilation):
            # Many an operation dilates under VALID only, or with strides of 1 only.
            found |= {"dilation", f"dilation under {configuration.padding!r}"}
            if any(step > 1 for step in strides):
                found.add("dilation with strides")
    bins = configuration.output_size if configuration.layout == "adaptive" else None
    if bins is not None and any(n % m for n, m in zip(sizes, bins, strict=True)):
        found.add("sizes that the output size does not divide")
    if len(set(sizes)) > 1:
        found.add("unequal sizes")
    for smallest in (2, 3, 4):
        if any(n < smallest for n in sizes):
            found.add(f"an axis shorter than {smallest}")
    if configuration.keepdims:
        found.add("keepdims")
    return frozenset(found)


def unexplained(accepted: Sequence[Case], refused: Sequence[tuple[Case, Refused]]) -> tuple[Case, Refused] | None:
    """The simplest refused case all of whose features the layer accepts elsewhere; None where there is none.

    An unusual exception is never an explanation.
    """
    supported: set[str] = set()
    for case in accepted:
        supported |= features(case)
    bare = [pair for pair in refused if not pair[1].deliberate or features(pair[0]) <= supported]
    return min(bare, key=lambda pair: (pair[1].deliberate, sum(pair[0].input_shape)), default=None)


def reasons(accepted: Sequence[Case], refused: Sequence[tuple[Case, Refused]]) -> str:
    """What the layer does not support, in one sentence."""
    supported: set[str] = set()
    for case in accepted:
        supported |= features(case)
    never: set[str] = set()
    for case, _ in refused:
        never |= features(case) - supported
    told = ", ".join(sorted(never)[:4])
    example = str(refused[0][1]) if refused else ""
    return f"the layer refuses {told or 'some cases'} ({example})"
