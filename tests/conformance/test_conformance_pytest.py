"""The pytest door: one item a layer and property, expected failures strict, the framework's defects apart."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

LAYERS = """
import keras
import tensorflow as tf


class Sound(keras.layers.Layer):
    def call(self, inputs):
        return tf.reduce_max(inputs, axis=1)


class Rectified(keras.layers.Layer):
    def call(self, inputs):
        return tf.nn.relu(tf.reduce_max(inputs, axis=1))


class Delegating(keras.layers.MaxPooling1D):
    pass
"""

TESTS = """
from poolaudit.pytest_plugin import conformance, parametrize_with_properties

KIND = {"like": "global_max", "dims": 1}


@conformance("pool_layers:Sound", properties=("oracle", "shift"), expected_failures={"shift": "not any more"}, **KIND)
def test_sound(conformance_result):
    assert all(result.layer == "Sound" for result in conformance_result)


@conformance(
    "pool_layers:Rectified", properties=("constant", "shift"), expected_failures={"constant": "a ReLU is meant"}, **KIND
)
def test_rectified(conformance_result):
    pass


@parametrize_with_properties(["pool_layers:Delegating"], properties=("infinities", "mask_is_deletion"), like="max")
def test_framework(conformance_result):
    pass
"""


def test_items_fail_pass_and_are_expected_to_fail(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(pool_layers=LAYERS, test_pool_layers=TESTS)
    pytester.syspathinsert()
    result = pytester.runpytest("-rA", "-p", "no:cacheprovider", "-W", "ignore")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 1
    assert outcomes["failed"] == 2
    assert outcomes["xfailed"] == 2
    assert outcomes["skipped"] == 1
    result.stdout.fnmatch_lines(
        [
            "*shift of Rectified (eager, float32): FAILED*",
            "*case*PoolConfiguration('global_max', rank=1)*",
            "*observed*",
            "*expected*",
            "*import tensorflow as tf*",
        ]
    )
    result.stdout.fnmatch_lines(["*shift was expected to fail (not any more) and does not*"])
    result.stdout.fnmatch_lines_random(
        [
            "PASSED *test_sound?Sound-oracle?",
            "FAILED *test_rectified?Rectified-shift?*",
            "XFAIL *test_rectified?Rectified-constant? - a ReLU is meant",
            "FAILED *test_sound?Sound-shift?*",
            "XFAIL *test_framework?Delegating-infinities? - a defect of the framework*",
        ]
    )


def test_a_name_that_does_not_exist_is_refused_while_collecting(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_typo="""
        from poolaudit.pytest_plugin import conformance

        @conformance("pool_layers:Sound", properties=("orakle",))
        def test_sound(conformance_result):
            pass
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider", "-W", "ignore")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*orakle*"])
