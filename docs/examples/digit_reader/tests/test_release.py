"""The gate of a release: CI is green when this model may go out, and says why when it may not."""

import digit_reader.layers  # noqa: F401 - registers the model's own layer with Keras
import pytest


@pytest.fixture(scope="module")
def release(poolaudit):
    return poolaudit.audit(
        "release/model.keras",
        test="release/test.npz",
        validation="release/validation.npz",
        train="release/train.npz",
        positive="two",
        title="Digit reader",
    )


def test_twos_are_found(release):
    release.require(recall_at_least=0.85, precision_at_least=0.85)


def test_accuracy_hides_nothing(release):
    release.require_no("PA201", "PA206")


def test_the_network_sees_every_cell(release):
    release.require_no("PA301")


def test_no_test_item_stands_in_the_training_data(poolaudit):
    found = poolaudit.find_leaks("release/train.npz", "release/test.npz", title="Digit reader: data")
    assert found.evidence.leakage.test_items_exact == 0
    found.require_no("PA404")


def test_nothing_speaks_against_the_release(release):
    release.require_release()
