"""The conformance of a whole model: its pooling sites, and the ways it can be shipped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from poolaudit.conformance.exports import EXPORTS_DOC, EXPORTS_PROPERTY, check_exports
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.sites import SITE_PROPERTIES, WHOLE, check_model_sites
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.findings import CheckDoc
from poolaudit.subject.activations import record_site_activations
from poolaudit.subject.models import LoadedModel


def check_model(
    loaded: LoadedModel,
    inputs: NDArray[Any],
    *,
    source: str | Path | None = None,
    trust_model_code: bool = False,
    profile: str = "quick",
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> tuple[PropertyResult, ...]:
    """Records the pooling sites on the data, checks each, and compares the ways the model can be shipped.

    Args:
        loaded: The model under audit; it is left as it was.
        inputs: Shape (n, ...) as the model's input shape says; the first 64 items are recorded.
        source: Path of the model's file or folder, where it has one: its exports are then tried in a child process,
            at the same time as the sites.
        trust_model_code: As the model was loaded with.
        profile: "quick", "standard" or "thorough".
        seed: Of the drawn values.
        on_progress: Is called with (done, total, what).

    Raises:
        InvalidInputError: The inputs do not fit the model, or an unknown profile.
    """
    more: dict[str, Any] = {"source": source, "trust_model_code": trust_model_code, "profile": profile}
    if source is not None and Path(source).exists():
        with ThreadPoolExecutor(1) as executor:
            exports = executor.submit(check_exports, loaded, inputs, **more)
            sites = _sites(loaded, inputs, profile, seed, on_progress)
            return sites + exports.result()
    return _sites(loaded, inputs, profile, seed, on_progress) + check_exports(loaded, inputs, **more)


def model_check_docs() -> tuple[CheckDoc, ...]:
    """Documentation of the checks that only a model audit has, PA115 to PA119."""
    return (*(entry.doc for entry in SITE_PROPERTIES), EXPORTS_DOC)


def property_titles() -> dict[str, str]:
    """What each property says of a layer, in one sentence, by its name."""
    titles = {entry.name: entry.doc.title for entry in all_properties()}
    titles |= {name: SITE_PROPERTIES.get(name).doc.title for name in SITE_PROPERTIES.names()}
    return {**titles, EXPORTS_PROPERTY: EXPORTS_DOC.title}


def model_property_names() -> tuple[str, ...]:
    """Names of the properties that only a model audit has."""
    return (*SITE_PROPERTIES.names(), WHOLE, EXPORTS_PROPERTY)


def _sites(
    loaded: LoadedModel,
    inputs: NDArray[Any],
    profile: str,
    seed: int,
    on_progress: Callable[[int, int, str], None] | None,
) -> tuple[PropertyResult, ...]:
    if on_progress is not None:
        on_progress(0, 1, "recording what flows through the pooling")
    activations = record_site_activations(loaded, inputs)
    return check_model_sites(activations, profile=profile, seed=seed, on_progress=on_progress)
