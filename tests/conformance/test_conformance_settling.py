"""What a layer is given: names, weights, sizes and limits are found out by what it does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from conformance_examples import (
    AnyBatchOf8,
    BinsByAnotherName1D,
    CellsOfPadding2D,
    ForgetsColumns2D,
    IntegerMax1D,
    IntegerMax2D,
    IntegerOrTuple1D,
    KernelByAnotherName1D,
    NeedsSizes1D,
    RandomFilter1D,
    RoundsUpItsShape1D,
    StumblesOverTheBatch1D,
    TupleByDefault1D,
    TupleByDefault2D,
)

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case
from poolaudit.conformance.check import check_layers
from poolaudit.conformance.inference import _says_nothing_else
from poolaudit.conformance.layer_under_test import LayerUnderTest, is_deliberate
from poolaudit.conformance.loading import LoadedSubject, load
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.refusals import unexplained
from poolaudit.conformance.signature import arguments_left_out
from poolaudit.conformance.subjects import Subject, subject_of
from poolaudit.conformance.violations import Refused, Violation
from specimens.sound_layers import LowerMedian1D

SHAPES_AND_COPIES = ("shape_inference", "configuration_round_trip", "save_and_load", "oracle", "valid_accepted")


def loaded(layer: type, like: str, dims: int) -> LoadedSubject:
    return load(Subject(layer.__name__, None, like, dims), layer)


@pytest.mark.parametrize(
    ("layer", "like", "taken"),
    [(KernelByAnotherName1D, "max", {"pool_size": "k"}), (BinsByAnotherName1D, "unknown", {"output_size": "n"})],
)
def test_a_size_by_another_name_is_told_by_what_it_does(layer: type, like: str, taken: dict[str, str]) -> None:
    assert loaded(layer, like, 1).taken.items() >= taken.items()


class MeanOverTime(keras.layers.Layer):
    """Of (batch, steps, channels); pictures it takes as well, and leaves their second axis."""

    def call(self, inputs):
        return keras.ops.mean(inputs, axis=1)


class MeanOverAll(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.mean(inputs, axis=tuple(range(1, len(inputs.shape) - 1)))


class HalfTheSteps(keras.layers.Layer):
    def call(self, inputs):
        return (inputs[:, ::2] + inputs[:, 1::2]) / 2


class HalfThePicture(keras.layers.Layer):
    def call(self, inputs):
        return keras.layers.MaxPooling2D(2)(inputs)


@pytest.mark.parametrize(
    ("layer", "like", "dims"),
    [
        (MeanOverTime, "global_average", 1),
        (MeanOverAll, "global_average", 2),
        (HalfTheSteps, "average", 1),
        (HalfThePicture, "max", 2),
    ],
)
def test_the_axes_are_those_that_are_pooled(layer: type, like: str, dims: int) -> None:
    found = load(Subject(layer.__name__, None, like, None), layer)
    assert found.dims == dims
    assert any("`dims` says otherwise" in note for note in found.notes)


def test_a_number_of_padded_cells_is_not_the_fields_padding() -> None:
    subject = loaded(CellsOfPadding2D, "max", 2)
    assert "padding" not in subject.taken
    assert subject.fixed["padding"] == ((1, 1), (1, 1))


def test_compared_layers_have_the_same_weights() -> None:
    configuration = PoolConfiguration("unknown", 1, window=(2,))
    case = Case(configuration, (2, 6, 3), "normal", 1)
    layer = LayerUnderTest(loaded(RandomFilter1D, "unknown", 1), case)
    assert np.array_equal(layer.value(case.array()), layer.another().value(case.array()))


def test_unknown_sizes_are_a_limit_and_an_unknown_batch_is_a_slip() -> None:
    case = Case(PoolConfiguration("global_max", 1), (2, 6, 3), "normal", 1)
    outcomes = {}
    for made in (NeedsSizes1D, StumblesOverTheBatch1D):
        with pytest.raises(Refused) as refused:
            LayerUnderTest(loaded(made, "global_max", 1), case, "graph_unknown_sizes").value(case.array())
        outcomes[made.__name__] = refused.value.deliberate
    assert outcomes == {"NeedsSizes1D": True, "StumblesOverTheBatch1D": False}


def test_one_batch_size_only_is_a_failure() -> None:
    case = Case(PoolConfiguration("global_max", 1), (2, 6, 3), "normal", 1)
    layer = LayerUnderTest(loaded(AnyBatchOf8, "global_max", 1), case)
    with pytest.raises(Violation, match="a batch of 2 is refused") as found:
        all_properties().get("valid_accepted").statement(layer, case)
    assert found.value.expected == "a result, as for a batch of 8"


def test_dilation_under_same_may_be_refused() -> None:
    plain = PoolConfiguration("max", 1, window=(2,), strides=(1,))
    same = PoolConfiguration("max", 1, window=(2,), strides=(1,), padding="same")
    dilated = PoolConfiguration("max", 1, window=(2,), strides=(1,), dilation=(2,))
    both = PoolConfiguration("max", 1, window=(2,), strides=(1,), padding="same", dilation=(2,))
    accepted = [Case(one, (1, 6, 1)) for one in (plain, same, dilated)]
    refusal = Refused("call", ValueError("not implemented"), True)
    assert unexplained(accepted, [(Case(both, (1, 6, 1)), refusal)]) is None


@pytest.mark.parametrize(
    ("text", "deliberate"),
    [
        ("the window does not fit", True),
        ("Input to reshape is a tensor with 12 values, but the requested shape has 8", False),
        ("cannot compute Mul as input #1 was expected to be a half tensor but is a float tensor", False),
    ],
)
def test_arithmetic_gone_wrong_is_no_refusal(text: str, deliberate: bool) -> None:
    assert is_deliberate(tf.errors.InvalidArgumentError(None, None, text)) is deliberate


@pytest.mark.parametrize(("name", "plain"), [("MyMaxPool2D", True), ("GeMPooling", True), ("TopThreeMean1D", False)])
def test_a_name_with_words_of_its_own_claims_no_kind(name: str, plain: bool) -> None:
    assert _says_nothing_else(name) is plain


def test_an_argument_that_get_config_leaves_out_is_named() -> None:
    class Forgetful(keras.layers.Layer):
        def __init__(self, method="max", **kwargs):
            super().__init__(**kwargs)
            self.method = method

        def get_config(self):
            return super().get_config()

    class Automatic(keras.layers.Layer):
        def __init__(self, method="max", **kwargs):
            super().__init__(**kwargs)
            self.method = method

    assert arguments_left_out(Forgetful, Forgetful().get_config()) == ("method",)
    assert arguments_left_out(Automatic, Automatic().get_config()) == ()


def test_a_median_of_two_is_not_taken_for_a_minimum() -> None:
    assert load(Subject("LowerMedian1D", None), LowerMedian1D).like == "median"
    assert load(Subject("Quietest1D", None), LowerMedian1D).like == "unknown"


@pytest.mark.parametrize(("layer", "dims"), [(IntegerMax1D, 1), (IntegerMax2D, 2)])
def test_a_layer_of_integers_is_given_integers_and_passes(layer: type, dims: int) -> None:
    subject = loaded(layer, "max", dims)
    assert subject.scalar
    assert subject.notes[0] == (
        "takes sizes as one integer: its signature says so, and with a tuple it fails in a symbolic call"
    )
    assert subject.arguments(PoolConfiguration("max", dims, window=(2,) * dims))["pool_size"] == 2
    assert accused_of(layer, dims) == set()


@pytest.mark.parametrize(
    ("layer", "dims"),
    [
        (IntegerOrTuple1D, 1),
        (TupleByDefault1D, 1),
        (TupleByDefault2D, 2),
        (RoundsUpItsShape1D, 1),
        (ForgetsColumns2D, 2),
    ],
)
def test_a_layer_that_breaks_with_what_it_asks_for_is_convicted(layer: type, dims: int) -> None:
    assert not loaded(layer, "max", dims).scalar
    assert "shape_inference" in accused_of(layer, dims)


@pytest.mark.parametrize(("layer", "dims"), [(IntegerMax1D, 1), (IntegerMax2D, 2)])
def test_the_rank_is_the_one_whose_output_shape_a_layer_foretells(layer: type, dims: int) -> None:
    class MaxOfAnyName(layer):  # type: ignore[misc, valid-type]
        pass

    assert load(Subject("MaxOfAnyName", None), MaxOfAnyName).dims == dims


def accused_of(layer: type, dims: int) -> set[str]:
    """The properties that a quick check finds violated."""
    subject = subject_of(layer, "max", dims, layer.__name__)
    checked = check_layers((subject,), profile="quick", properties={layer.__name__: SHAPES_AND_COPIES})
    return {found.property for found in checked.failures}
