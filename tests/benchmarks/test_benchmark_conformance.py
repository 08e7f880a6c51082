"""What the conformance engine costs: examples a second, and the overhead over calling the layer alone."""

from __future__ import annotations

import pytest

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case
from poolaudit.conformance.falsify import falsify
from poolaudit.conformance.loading import LoadedSubject, load
from poolaudit.conformance.profiles import PROFILES
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.subjects import resolve, subject_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def subject() -> LoadedSubject:
    named = subject_of("keras.layers.AveragePooling2D", None, None)
    assert named.reference is not None
    return load(named, resolve(named.reference))


def test_benchmark_of_the_layer_alone(benchmark, subject) -> None:
    case = Case(PoolConfiguration("average", 2, (2, 2)), (2, 6, 6, 3), "normal")
    layer, x = subject.build(case.configuration, "float32"), case.array()
    benchmark(layer, x)


@pytest.mark.parametrize("name", ["oracle", "locality", "adjoint"])
def test_benchmark_of_a_property(benchmark, subject, name: str) -> None:
    prop = all_properties().get(name)
    tried: list[Case] = []

    def search() -> None:
        tried.clear()
        falsify(subject, prop, "eager", "float32", PROFILES["quick"], 0, tried.append)

    benchmark.pedantic(search, rounds=3, warmup_rounds=1)
    assert tried
    benchmark.extra_info["examples"] = len(tried)
    benchmark.extra_info["examples_a_second"] = round(len(tried) / benchmark.stats["mean"], 1)
