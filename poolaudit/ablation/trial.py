"""What a trial is: plain data that a worker on any machine can act on, and the key it is stored under."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from poolaudit.store.trials import trial_key

RETRAINED, RECALIBRATED = "retrained", "recalibrated"
BASELINE = "baseline"
CONTROL_SUFFIX = " (control)"
_PACKAGES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a worker gets the baseline model from.

    Attributes:
        file: A `.keras` file in the trial store; None where code builds the model.
        reference: "package.module:name" of a recipe; None where there is a file.
        search: Folders to put on the module search path, for the recipe and for custom layers.
        modules: Modules that register custom layers when imported.
        trust_model_code: Code in the file may run.
        fingerprint: SHA-256 of architecture, compile configuration and, for code, the text of its module.
    """

    file: str | None
    reference: str | None
    search: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    trust_model_code: bool = False
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How every trial is trained.

    Attributes:
        epochs: Passes over the training data.
        batch_size: Items a step.
        fit: Further arguments of `model.fit`, as pairs; a mapping among the values as pairs again.
        default_optimizer: The model carries no compile configuration, and Adam at 0.001 with the loss that fits its
            head is used.
        loss: Name of that loss; None where the model brings its own.
    """

    epochs: int
    batch_size: int
    fit: Mapping[str, Any] = field(default_factory=dict)
    default_optimizer: bool = False
    loss: str | None = None


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One variant with one seed.

    Attributes:
        variant: Text that `parse_variant` reads; "baseline" for none.
        control: The parameter-matched control of the variant in its stead.
        seed: Of weights, data order and everything random.
        depth: "retrained" or "recalibrated".
        model: Where the baseline comes from.
        plan: How it is trained.
        data: Content hashes by split: "train", "validation", "test".
        key: Names the trial in the store.
    """

    variant: str
    control: bool
    seed: int
    depth: str
    model: ModelSource
    plan: TrainingPlan
    data: Mapping[str, str]
    key: str

    @property
    def arm(self) -> str:
        return f"{self.variant}{CONTROL_SUFFIX}" if self.control else self.variant

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TrialSpec:
        model: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["model"].items()}
        return cls(**{**plain, "model": ModelSource(**model), "plan": TrainingPlan(**plain["plan"])})


def make_spec(
    variant: str,
    seed: int,
    model: ModelSource,
    plan: TrainingPlan,
    data: Mapping[str, str],
    *,
    control: bool = False,
    depth: str = RETRAINED,
) -> TrialSpec:
    """The spec with its key: everything that determines the result goes in, nothing else."""
    question = {
        "variant": variant,
        "control": control,
        "seed": seed,
        "depth": depth,
        "model": model.fingerprint,
        "plan": asdict(plan),
        "data": dict(data),
        "versions": versions(),
    }
    return TrialSpec(variant, control, seed, depth, model, plan, dict(data), trial_key(question))


def versions() -> dict[str, str]:
    """Packages whose version changes what a training gives."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def source_text(function: Any) -> str:
    """The text of the module a function stands in; an empty string where there is none to read."""
    return module_text(inspect.getmodule(function))


def module_text(module: Any) -> str:
    """The text of a module; an empty string where there is none to read."""
    try:
        return inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        return ""


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def search_path() -> tuple[str, ...]:
    """Folders from which this process imports, so that a worker finds the same modules."""
    return tuple(dict.fromkeys(str(Path(entry or ".").resolve()) for entry in sys.path))
