"""The fixture's doors: each asks the library, shares results within the session, and records them for the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from poolaudit.baseline import apply_baseline, load_baseline
from poolaudit.errors import PoolauditError
from poolaudit.policy import Policy, load_policy
from poolaudit.results import AuditResult, Evidence
from poolaudit.testing.cache import ResultCache, key_of
from poolaudit.testing.session import Ledger, Record

if TYPE_CHECKING:
    from poolaudit.conformance import ConformanceResult
    from poolaudit.evidence.benchmarks import BenchmarkEvidence
    from poolaudit.evidence.conformance import PropertyResult
    from poolaudit.results import Scope

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Settings:
    """What the command line and the ini file say.

    Attributes:
        profile: "quick", "standard" or "thorough".
        policy: TOML file with thresholds; None looks into `folder`.
        baseline: TOML file of accepted findings; None accepts nothing.
        folder: Root of the project under test.
        cache: Where results are kept across runs; None keeps none.
    """

    profile: str
    policy: Path | None
    baseline: Path | None
    folder: Path
    cache: Path | None


@dataclass
class Session:
    """Everything one process of a session shares.

    Attributes:
        test: Node identifier of the test that is running.
        ledger: What tests asked for so far.

    Raises:
        InvalidInputError: The policy or the baseline cannot be read.
    """

    settings: Settings
    test: str = ""
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.cache = ResultCache(self.settings.cache)
        self.policy: Policy = load_policy(self.settings.policy, folder=self.settings.folder)
        if self.settings.baseline is not None:
            load_baseline(self.settings.baseline)

    def answer(self, what: str, given: dict[str, Any], measure: Callable[[], AuditResult]) -> AuditResult:
        """The result for what is given, measured once, with the baseline applied, and recorded for the report."""
        key = key_of(what, given)
        result = self.cache.get(key, given.get("policy"))
        if result is None:
            result = measure()
            self.cache.put(key, result)
        return self.recorded(result)

    def recorded(self, result: AuditResult) -> AuditResult:
        """The result with the baseline applied, noted for the report."""
        if self.settings.baseline is not None:
            result = apply_baseline(result, self.settings.baseline)
        self.ledger.records.append(Record(self.test, result))
        return result

    def asked(self, title: str, work: Callable[[], Answer]) -> Answer:
        """What `work` returns; where it ends without a result, the report says so under the test that asked for it."""
        __tracebackhide__ = True
        try:
            return work()
        except PoolauditError as error:
            self.ledger.miss(self.test, title, error)
            # Its text says what arrived and what is allowed; where in the library that was found helps nobody.
            raise error.with_traceback(None) from None
        except Exception as error:
            self.ledger.miss(self.test, title, error)
            raise

    def record_layer(self, layer: str, results: list[PropertyResult], seed: int) -> None:
        """Puts the results of one property of a layer into the report."""
        self._record_part("conformance", Evidence(conformance=tuple(results)), layer, seed)

    def record_benchmarks(self, evidence: BenchmarkEvidence) -> None:
        """Puts the speed of a layer into the report."""
        self._record_part("benchmarks", Evidence(benchmarks=evidence), f"Speed of {evidence.layers[0].layer}", 0)

    def _record_part(self, scope: Scope, evidence: Evidence, title: str, seed: int) -> None:
        from poolaudit.audit import judge_part

        self.recorded(
            judge_part(
                scope, evidence, title=title, policy=self.policy, seed=seed, command="pytest", duration_seconds=0.0
            )
        )


class Doors:
    """What a test can ask poolaudit for. Options left out come from the command line and the ini file."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def audit(self, model: Any, test: Any, **options: Any) -> AuditResult:
        """Audits a model on a test split; `options` are the further fields of `AuditPlan`."""
        __tracebackhide__ = True
        return self._run(model, {"model": model, "test": test, **options})

    def metrics(self, predictions: str | Path, **options: Any) -> AuditResult:
        """Audits a prediction file, without TensorFlow; `options` are the further fields of `AuditPlan`."""
        __tracebackhide__ = True
        return self._run(predictions, {"predictions": predictions, **options})

    def check_layer(self, layer_or_factory: Any, like: str | None = None, **options: Any) -> ConformanceResult:
        """Attacks a pooling layer with properties; see `poolaudit.conformance.check_layer`."""
        __tracebackhide__ = True
        from poolaudit.conformance import check_layer

        given = {"profile": self._session.settings.profile} | options
        result = self._session.asked(_named(layer_or_factory), lambda: check_layer(layer_or_factory, like, **given))
        for layer in dict.fromkeys(entry.layer for entry in result.results):
            own = [entry for entry in result.results if entry.layer == layer]
            self._session.record_layer(layer, own, options.get("seed", 0))
        return result

    def find_leaks(self, train: Any, test: Any, validation: Any = None, **options: Any) -> AuditResult:
        """Compares test with training data; `options` are the further arguments of `poolaudit.find_leaks`."""
        __tracebackhide__ = True
        from poolaudit.audit.leaks import find_leaks

        title = options.get("title") or f"leaks between {_named(train)} and {_named(test)}"
        told = {"policy": self._session.policy, "command": "pytest"} | options
        given = {"train": train, "test": test, "validation": validation, **told}
        if options.get("clean_split") is not None or "listener" in options:
            # What is written or told on the way is asked for as much as the result.
            return self._session.asked(title, lambda: self._session.recorded(find_leaks(**given)))
        return self._session.asked(title, lambda: self._session.answer("leaks", given, lambda: find_leaks(**given)))

    def _run(self, what: Any, given: dict[str, Any]) -> AuditResult:
        __tracebackhide__ = True
        return self._session.asked(given.get("title") or _named(what), lambda: self._answer(given))

    def _answer(self, given: dict[str, Any]) -> AuditResult:
        from poolaudit.audit import AuditPlan, run_audit

        defaults = {"policy": self._session.policy, "budget": self._session.settings.profile, "command": "pytest"}
        options: dict[str, Any] = {**defaults, **given}
        plan = AuditPlan(**options)
        fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        return self._session.answer("audit", fields, lambda: run_audit(plan))


def _named(given: Any) -> str:
    """A path or reference as it was given; of an object, what kind it is."""
    if isinstance(given, str | Path):
        return str(given)
    return str(getattr(given, "__name__", None) or type(given).__name__)
