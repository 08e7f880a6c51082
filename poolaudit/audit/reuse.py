"""Evidence of stages kept by content: what the same software measured on the same subject is not measured again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from poolaudit.audit.content import NoFingerprint, content_key, fingerprint_of_model
from poolaudit.audit.plan import AuditPlan
from poolaudit.audit.subject import Subject
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.outcomes import Outcome
from poolaudit.results import Evidence, StageResult
from poolaudit.store.atomic import make_output_folder
from poolaudit.store.evidence_cache import keep, load_kept

if TYPE_CHECKING:
    from poolaudit.subject.splits import DataSplit

# The splits a stage reads; a stage that is not named reads all of them.
_SPLITS = {"geometry": ("test",), "evaluation": ("test", "validation"), "conformance": ("test",)}
_OPTION = "--stage-store"
_ABLATION_SETTINGS = ("minutes", "seeds", "epochs")
_SETTINGS = ("positive", "class_names", "resize", "trust_model_code", "budget", "feature_size", "seed")


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one stage found, and when; the other fields of the evidence are empty."""

    evidence: Evidence
    measured: str


class StageReuse:
    """What earlier audits measured on exactly this subject with exactly these settings.

    Only a stage that ran to its end is kept. Where the content of something cannot be told (code of the user's in the
    model), every stage runs, and `why_not` says so.

    Args:
        folder: Where evidence is kept; it is made.

    Raises:
        InvalidInputError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, plan: AuditPlan, subject: Subject) -> None:
        make_output_folder(folder, _OPTION)
        self._folder, self._plan = folder, plan
        self.why_not: str | None = None
        try:
            self._common = _of_model_and_settings(plan, subject)
            self._splits = {
                name: _of_split(getattr(subject, name))
                for name in ("test", "validation", "train")
                if getattr(subject, name) is not None
            }
        except NoFingerprint as error:
            self.why_not = str(error)

    def find(self, stage: str, before: Evidence) -> tuple[Any, StageResult] | None:
        """What the stage found earlier, with a stage result that says when; None where it has to run."""
        key = self._key(stage, before)
        kept = None if key is None else load_kept(self._folder, key, _Kept)
        found = None if kept is None else getattr(kept.evidence, stage)
        if kept is None or found is None:
            return None
        reason = f"not run again: measured {kept.measured} on the same model, data, settings and software"
        return found, StageResult(stage, Outcome.PASSED, 0.0, reason)

    def store(self, stage: str, before: Evidence, found: Any, result: StageResult) -> StageResult:
        """Keeps what a stage found; returns its result, with the reason where nothing could be kept."""
        if result.outcome is not Outcome.PASSED or found is None:
            return result
        key = self._key(stage, before)
        if key is None:
            return replace(result, reason=f"not kept for later audits: {self.why_not}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept = _Kept(replace(Evidence(), **{stage: found}), now)
        try:
            keep(self._folder, key, kept, _OPTION)
        except InvalidInputError as error:  # a full disk here must not cost what was measured
            return replace(result, reason=f"not kept for later audits: {error.arrived}")
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            return replace(result, reason=f"not kept for later audits: {type(error).__name__}")
        return result

    def _key(self, stage: str, before: Evidence) -> str | None:
        if self.why_not is not None:
            return None
        read = _SPLITS.get(stage, tuple(self._splits))
        splits = {name: self._splits.get(name) for name in read}
        return content_key(stage, {}, [self._common, self._of_this_stage(stage, before), splits])

    def _of_this_stage(self, stage: str, before: Evidence) -> list[Any]:
        """What this stage alone depends on: settings of its own, and what the stages before it found."""
        if stage == "ablation":  # it does not start where no pooling was found
            sites = None if before.geometry is None else len(before.geometry.sites)
            return [sites, *(getattr(self._plan, name) for name in _ABLATION_SETTINGS)]
        if stage == "leakage":  # its impact is measured on what the evaluation and the ablation found, if they ran
            return [before.evaluation is not None, None if before.ablation is None else _of_ablation(before.ablation)]
        return []


def _of_ablation(ablation: AblationEvidence) -> list[Any]:
    """What is measured again without the leak: the depth, and the trials with what they gave."""
    trials = [[row.arm, row.seed, row.state, row.metrics] for row in ablation.trials]
    return [ablation.depth, ablation.primary, ablation.matched_precision, ablation.stopped, trials]


def _of_model_and_settings(plan: AuditPlan, subject: Subject) -> list[Any]:
    settings = {name: getattr(plan, name) for name in _SETTINGS} | {"policy": asdict(plan.policy)}
    model = subject.model
    if model is None:
        predictions = {"test": plan.predictions, "validation": plan.validation_predictions}
        return [settings, content_key("predictions", predictions)]
    live = model.keras_model
    if live is None and model.sha256 is None:
        raise NoFingerprint(f"{model.name} is code")
    stated = [model.name, model.source, model.format, model.sha256, model.notes]
    return [settings, stated, None if live is None else fingerprint_of_model(live)]


def _of_split(split: DataSplit) -> str:
    columns = [split.groups, split.times, split.paths, split.sizes]
    texts = [None if column is None else [str(entry) for entry in column.tolist()] for column in columns]
    stated = [split.source, split.sha256, split.size_source, split.notes, split.class_names, split.inputs.shape]
    return hashlib.sha256(json.dumps([stated, texts]).encode()).hexdigest()
