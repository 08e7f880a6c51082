"""The exact coverage map against measured support, over generated networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from measured_support import support_of_places

from poolaudit.geometry.analysis import analyse, input_shapes
from poolaudit.geometry.coverage import counts, coverage_of
from poolaudit.geometry.receptive_field import layer_fields
from poolaudit.strategies import NetworkCase, build_network, networks
from poolaudit.subject.models import load_model

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def hits_defect_of_tensorflow(case: NetworkCase) -> bool:
    """Where a stride of Conv3D is larger than its window, TensorFlow 2.21 under SAME reads other cells than it says.

    `tf.nn.conv3d` of (1, 3, 3, 3, 1) with a kernel of one cell and strides (1, 1, 1, 3, 1) gives the middle of each
    row in double precision; `tf.nn.conv2d` gives the first cell, as the definition of SAME has it.
    """
    return case.rank == 3 and any(
        step.kind == "convolution" and any(s > w for s, w in zip(step.strides, step.window, strict=True))
        for step in case.all_steps
    )


@contextmanager
def exact_kernels(case: NetworkCase) -> Iterator[None]:
    """Double precision for signals and images; AvgPool3D has none on a CPU.

    In single precision TensorFlow 2.21 runs oneDNN, which computes some strided convolutions wrongly: `tf.nn.conv2d` of
    (6, 3, 2, 1) with a kernel of (1, 3, 1, 1), strides (1, 1, 2, 1) and SAME gives numbers that were never written.
    With TF_ENABLE_ONEDNN_OPTS=0 they are right.
    """
    before = keras.config.dtype_policy(), keras.config.floatx()
    wanted = "float32" if case.rank == 3 else "float64"
    keras.config.set_floatx(wanted)  # of the inputs
    keras.config.set_dtype_policy(wanted)  # of the layers: once asked for, it no longer follows the former
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def agree(case: NetworkCase) -> None:
    """Raises AssertionError where a computed number is not the measured one."""
    with exact_kernels(case):
        _agree(case)


def _agree(case: NetworkCase) -> None:
    model = build_network(case, positive_averages=True)
    loaded = load_model(model)
    analysis = analyse(loaded, input_shapes(loaded))
    (output,) = analysis.outputs
    assert output is not None
    assert output.doubt is None, output.doubt
    spatial, sizes = analysis.inputs[0].spatial, analysis.inputs[0].sizes
    measured = support_of_places(model, (*sizes, case.channels), linear=case.is_linear)
    np.testing.assert_array_equal(counts(output, 0, spatial, sizes) > 0, measured.any(axis=1).reshape(sizes))
    layers, last, dependence = layer_fields(analysis)
    (coverage,), (mask,) = coverage_of(analysis, None if last is None else last.name, dependence)
    np.testing.assert_array_equal(mask, measured.any(axis=1).reshape(sizes))
    assert coverage.blind == int((~mask).sum())
    if case.head in ("map", "dense_places"):
        reached = counts(output, 0, spatial, sizes)
        np.testing.assert_array_equal(reached, measured.sum(axis=1).reshape(sizes))
        if output.terms:  # else the last layer reads padding only, and sees nothing
            _fields_agree(measured, sizes, layers[-1].fields)
    keras.backend.clear_session()


def _fields_agree(measured: np.ndarray, sizes: tuple[int, ...], fields: tuple) -> None:  # type: ignore[type-arg]
    """The widest stretch any output place really sees along an axis; no endless field is smaller than it."""
    seen = measured.T.reshape(-1, *sizes)
    for axis, field in enumerate(fields):
        along = seen.any(axis=tuple(1 + a for a in range(len(sizes)) if a != axis))
        spans = [int(row.nonzero()[0].max() - row.nonzero()[0].min() + 1) for row in along if row.any()]
        assert field.widest == max(spans, default=0)
        if field.size is not None and not field.whole:
            assert field.size >= field.widest


@given(networks())
@settings(max_examples=20, deadline=None, suppress_health_check=_SLOW)
def test_coverage_is_what_is_measured(case: NetworkCase) -> None:
    assume(not hits_defect_of_tensorflow(case))
    agree(case)


@pytest.mark.slow
@given(networks(most_steps=7))
@settings(max_examples=300, deadline=None, suppress_health_check=_SLOW)
def test_coverage_is_what_is_measured_over_three_hundred_networks(case: NetworkCase) -> None:
    assume(not hits_defect_of_tensorflow(case))
    agree(case)


def test_a_network_that_is_computed_wrongly_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: with windows that forget their last tap it does."""
    from poolaudit.geometry import stencils
    from poolaudit.strategies.networks import Step

    honest = stencils.window

    def short(size: int, outputs: int, window: int, *rest: int) -> object:
        index, phases = honest(size, outputs, window, *rest)  # type: ignore[arg-type]
        return index[:, :-1] if window > 1 else index, phases

    monkeypatch.setattr(stencils, "window", short)
    case = NetworkCase((8,), 1, 1, (Step("average", (3,), (2,), (1,), "valid"),), "map")
    with pytest.raises(AssertionError):
        agree(case)
