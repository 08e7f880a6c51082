"""`AuditCallback`: audits a model at the end of its training and writes to TensorBoard."""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras

from poolaudit.audit import AuditPlan, run_audit
from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.integrations.numbers import numbers_of
from poolaudit.report.files import render_all
from poolaudit.report.markdown import render_markdown
from poolaudit.results import AuditResult
from poolaudit.store.atomic import make_output_folder, write_together


class AuditCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Audits the model when `fit` ends; the model, its optimizer and the history stay as they are.

    What cannot be audited costs no training: wrong data and options are refused before it starts, and an audit that
    fails afterwards is a warning, with `result` None and the reason in `problem`.

    Attributes:
        result: The finished audit; None before the training ends, and where the audit failed.
        problem: Why there is no result; None where there is one.
    """

    def __init__(
        self,
        test: Any,
        *,
        out: str | Path | None = None,
        tensorboard: str | Path | None = None,
        budget: str = "quick",
        **options: Any,
    ) -> None:
        """
        Args:
            test: The test split, in any form `AuditPlan` takes: arrays, a file, a `tf.data.Dataset`.
            out: Folder for the report; None writes none.
            tensorboard: Log folder of TensorBoard for metrics, their intervals and the summary; None logs nothing.
            budget: "quick", "standard" or "thorough".
            options: Further fields of `AuditPlan`.

        Raises:
            InvalidInputError: An option that an audit does not take.
        """
        super().__init__()
        known = [field.name for field in fields(AuditPlan) if field.name not in ("model", "predictions", "command")]
        for name in options:
            if name not in known:
                raise InvalidInputError(
                    f"AuditCallback takes no option {name!r}", listed(known, 40), did_you_mean(name, known)
                )
        self.result: AuditResult | None = None
        self.problem: str | None = None
        self._options = {"test": test, "budget": budget, "command": "AuditCallback(...)", **options}
        self._out = None if out is None else Path(out)
        self._tensorboard = None if tensorboard is None else str(tensorboard)
        self._epochs = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuses what cannot be audited while nothing is lost.

        Raises:
            InvalidInputError: Data that cannot be read, an option that is not allowed, or a class of interest that is
                none of `class_names`.
        """
        from poolaudit.subject.data import load_splits
        from poolaudit.subject.labels import resolve_class

        plan = AuditPlan(model=self.model, **self._options)
        given = {"test": plan.test, "validation": plan.validation, "train": plan.train}
        load_splits(
            {name: data for name, data in given.items() if data is not None},
            resize=plan.resize,
            class_names=plan.class_names,
        )
        if plan.positive is not None and plan.class_names is not None:
            resolve_class(plan.positive, plan.class_names)
        if self._out is not None:
            make_output_folder(self._out)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Counts the epochs: the step under which TensorBoard shows the audit."""
        self._epochs = epoch + 1

    def on_train_end(self, logs: Any = None) -> None:
        """Runs the audit, and writes what was asked for."""
        self.result, self.problem = None, None
        try:
            result = run_audit(AuditPlan(model=self.model, **self._options))
            if self._out is not None:
                write_together({self._out / name: content for name, content in render_all(result).items()})
            if self._tensorboard is not None:
                _log(result, self._tensorboard, self._epochs)
        except Exception as error:  # the training is done and must not be lost
            self.problem = f"{type(error).__name__}: {error}"
            warnings.warn(f"poolaudit could not audit the trained model ({self.problem})", stacklevel=2)
            return
        self.result = result


def _log(result: AuditResult, folder: str, step: int) -> None:
    import tensorflow as tf

    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=step):
        for name, value in numbers_of(result).items():
            _write(f"poolaudit/{name}", tf.constant(value, tf.float32), "scalars", tf.compat.v1.SummaryMetadata)
        _write("poolaudit/summary", tf.constant(render_markdown(result)), "text", tf.compat.v1.SummaryMetadata)
    writer.close()


def _write(tag: str, tensor: Any, plugin: str, metadata_type: Any) -> None:
    """One value for a plugin of TensorBoard, which need not be installed where the model is trained."""
    import tensorflow as tf

    metadata = metadata_type(plugin_data=metadata_type.PluginData(plugin_name=plugin))
    metadata.data_class = 1 if plugin == "scalars" else 2  # DATA_CLASS_SCALAR, DATA_CLASS_TENSOR
    tf.summary.write(tag, tensor, metadata=metadata)
