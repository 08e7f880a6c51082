"""The script for a case that ends its process, written without running it."""

from __future__ import annotations

from poolaudit.conformance.case import Case
from poolaudit.conformance.kernel_sets import KERNEL_MODES
from poolaudit.conformance.layer_under_test import Record, Step
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.signature import parameter_names
from poolaudit.conformance.snippets import script
from poolaudit.conformance.subjects import resolve
from poolaudit.conformance.violations import Violation
from poolaudit.conformance.worker import Job


def fatal_script(job: Job, case: Case, violation: Violation, title: str) -> str:
    """A forward and, for properties of gradients, a backward pass."""
    if job.subject.reference is None or ("gradient" not in job.property and "second" in job.property):
        return f"# {title}\n# {case.describe()}\n# {violation.what}\n"
    try:
        taken, takes_dtype, _ = parameter_names(resolve(job.subject.reference))
    except Exception:  # the script is a service; the finding stands without it
        return f"# {title}\n# {case.describe()}\n# {violation.what}\n"
    loaded = LoadedSubject(
        job.subject,
        resolve(job.subject.reference),
        case.configuration.kind,
        case.configuration.rank,
        taken,
        takes_dtype,
    )
    record = Record([(loaded, case.configuration, case.dtype)])
    x = case.array()
    record.steps.append(Step("value", 0, (x,)))
    if job.property == "configuration_round_trip":  # it is the copy that dies where the layer itself does not
        record.steps.append(Step("code", 0, code="copy = type(layer).from_config(layer.get_config())"))
        record.steps.append(Step("code", 0, code="print('observed:', np.asarray(copy(x0)))"))
    differentiates = any(word in job.property for word in ("gradient", "adjoint", "euler", "differences", "empty"))
    if differentiates and not case.configuration.problems(x.shape) and case.configuration.layout != "any":
        shape = tuple(int(size or 0) for size in case.configuration.output_shape(x.shape))
        record.steps.append(Step("gradient", 0, (x, case.upstream(shape))))
    return script(record, case, "eager" if job.mode in KERNEL_MODES else job.mode, violation, title)
