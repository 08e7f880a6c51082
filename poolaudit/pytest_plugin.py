"""poolaudit at home in pytest; loads nothing of the core before it is used.

The fixture `poolaudit` hands out the library's doors: `poolaudit.audit(...)` runs an audit, `poolaudit.metrics(...)`
audits predictions, `poolaudit.check_layer(...)` attacks a layer. The decorator `conformance(...)` turns a test
function into one item a property of a pooling layer:

    from poolaudit.pytest_plugin import conformance

    @conformance("mypackage.layers:LogSumExpPooling2D", like="lse")
    def test_log_sum_exp_pooling(conformance_result):
        pass
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from poolaudit.evidence.conformance import PropertyResult
    from poolaudit.testing.doors import Doors, Session
    from poolaudit.testing.session import Ledger


_PROFILES = ("quick", "standard", "thorough")
_OPTIONS = {
    "report": "folder for the report of all audits of this session",
    "profile": "how much audits and layer checks try: quick, standard or thorough",
    "policy": "TOML file with thresholds; by default poolaudit.toml or pyproject.toml in the root folder",
    "baseline": "TOML file of accepted findings, as poolaudit accept writes it",
}
_SESSION = pytest.StashKey["Session"]()
_LEDGER = pytest.StashKey["Ledger"]()
_RUNNING = pytest.StashKey[str]()
_TOLD = pytest.StashKey[str]()
_SERVERS = pytest.StashKey[contextlib.ExitStack]()
_CHECKING = frozenset({"poolaudit", "conformance_result"})
_FIXTURES = _CHECKING | {"benchmark_pooling"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Command-line options, each with an ini key of the same name."""
    group = parser.getgroup("poolaudit", "release audits of models with pooling layers")
    for name, text in _OPTIONS.items():
        metavar = "DIR" if name == "report" else "LEVEL" if name == "profile" else "FILE"
        group.addoption(f"--poolaudit-{name}", metavar=metavar, default=None, help=text)
        parser.addini(f"poolaudit_{name}", text, default="")


def _asked(config: pytest.Config, name: str) -> str | None:
    """What the command line says, else the ini file, whose paths are relative to the root folder.

    Paths are whole, since a test may change into another folder before they are used.
    """
    given = config.getoption(f"--poolaudit-{name}")
    if given is not None:
        if not str(given).strip():
            raise pytest.UsageError(f"--poolaudit-{name} is empty")
        return str(given) if name == "profile" else str(config.invocation_params.dir / given)
    stated = str(config.getini(f"poolaudit_{name}")).strip()
    if not stated:
        return None
    return stated if name == "profile" else str(config.rootpath / stated)


def _profile(config: pytest.Config) -> str:
    return _asked(config, "profile") or "quick"


def pytest_configure(config: pytest.Config) -> None:
    """Refuses a wrong option before any test runs; loads nothing."""
    profile = _asked(config, "profile")
    if profile not in (None, *_PROFILES):
        raise pytest.UsageError(f"--poolaudit-profile is {profile!r}; allowed: {', '.join(_PROFILES)}")
    for name in ("policy", "baseline"):
        file = _asked(config, name)
        if file is not None and not Path(file).is_file():
            raise pytest.UsageError(f"--poolaudit-{name}: {str(_short(Path(file), config))!r} is not a file")
    folder = _asked(config, "report")
    if folder is not None and (problem := _unusable(Path(folder))):
        raise pytest.UsageError(
            f"--poolaudit-report: {str(_short(Path(folder), config))!r} is no usable folder: {problem}"
        )


def _unusable(folder: Path) -> str | None:
    """Why a folder cannot be written to, told before long audits run; creates nothing."""
    for path in (folder, *folder.parents):
        if path.is_dir():
            return None if os.access(path, os.W_OK) else f"{str(path)!r} cannot be written to"
        if os.path.lexists(path):
            return f"{str(path)!r} is not a folder"
    return None


def _ledger(config: pytest.Config) -> Ledger:
    if _LEDGER not in config.stash:
        from poolaudit.testing.session import Ledger

        config.stash[_LEDGER] = Ledger()
    return config.stash[_LEDGER]


def _session(config: pytest.Config) -> Session:
    """What this process's tests share, made when the first of them needs it."""
    if _SESSION not in config.stash:
        from poolaudit.errors import InvalidInputError
        from poolaudit.testing.doors import Session, Settings

        policy, baseline = _asked(config, "policy"), _asked(config, "baseline")
        cache = getattr(config, "cache", None)
        settings = Settings(
            profile=_profile(config),
            policy=None if policy is None else Path(policy),
            baseline=None if baseline is None else Path(baseline),
            folder=config.rootpath,
            cache=None if cache is None else Path(cache.mkdir("poolaudit")),
        )
        refused = ""
        try:
            config.stash[_SESSION] = Session(settings, config.stash.get(_RUNNING, ""), _ledger(config))
        except InvalidInputError as error:
            refused = str(error)
        if refused:
            pytest.fail(refused, pytrace=False)
    return config.stash[_SESSION]


def _keep_servers(config: pytest.Config) -> None:
    """The checks of a session share processes that have imported TensorFlow."""
    if _SERVERS not in config.stash:
        from poolaudit.conformance.sandbox import servers_kept

        config.stash[_SERVERS] = contextlib.ExitStack()
        config.stash[_SERVERS].enter_context(servers_kept())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the processes that were kept."""
    if _SERVERS in config.stash:
        config.stash[_SERVERS].close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The report names the tests that asked for a result."""
    if _CHECKING & set(getattr(item, "fixturenames", ())):
        _keep_servers(item.config)
    item.config.stash[_RUNNING] = item.nodeid
    if _SESSION in item.config.stash:
        item.config.stash[_SESSION].test = item.nodeid


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A test that wanted to audit and whose setup failed is a gap in the report; one that passed leaves none."""
    report = yield
    if _asked(item.config, "report") is not None:
        if report.when == "setup" and report.failed and call.excinfo is not None:
            if not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
                _ledger(item.config).miss(item.nodeid, item.nodeid, call.excinfo.value)
        elif report.when == "call" and report.passed and _LEDGER in item.config.stash:
            _ledger(item.config).forgive(item.nodeid)
    return report


@pytest.fixture(scope="session")
def poolaudit(request: pytest.FixtureRequest) -> Doors:
    """The library's doors, for tests that audit."""
    from poolaudit.testing.doors import Doors

    return Doors(_session(request.config))


@pytest.fixture
def benchmark_pooling(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Times a pooling layer with pytest-benchmark: `benchmark_pooling(layer, shapes, dtypes)`, one entry a case.

    Each shape (with batch) and dtype gives a forward pass and a gradient, named after them in pytest-benchmark's table
    and files, with the bytes moved as extra information; `--benchmark-save` and `--benchmark-compare` work as ever.
    With `--poolaudit-report` the timings, and the share of the memory bandwidth, are in the report as well; where
    pytest-benchmark measures nothing (`--benchmark-disable`, workers of pytest-xdist), they are not.
    """
    if not request.config.pluginmanager.hasplugin("benchmark"):
        from poolaudit.errors import MissingExtraError

        raise MissingExtraError("The fixture benchmark_pooling", "bench")
    from poolaudit.testing.benchmarks import PoolingBenchmarks

    reported = _asked(request.config, "report") is not None
    record = _session(request.config).record_benchmarks if reported else None
    return PoolingBenchmarks(request.getfixturevalue("benchmark"), record)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker of pytest-xdist is done: what its tests audited joins the report."""
    if _asked(node.config, "report") is None:
        return
    ledger = _ledger(node.config)
    packed = getattr(node, "workeroutput", {}).get("poolaudit")
    if packed:
        from poolaudit.testing.session import unpack

        more = unpack(packed)
        ledger.records.extend(more.records)
        ledger.gaps.extend(more.gaps)
    elif error:
        ledger.notes.append("A worker of pytest-xdist crashed: what its tests had audited is missing here.")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the report, or hands the records to the process that writes it."""
    config = session.config
    folder = _asked(config, "report")
    if folder is None:
        return
    if hasattr(config, "workeroutput"):
        if _LEDGER in config.stash:
            from poolaudit.testing.session import pack

            config.workeroutput["poolaudit"] = pack(config.stash[_LEDGER])
        return
    if getattr(config.option, "collectonly", False):
        return
    from poolaudit.errors import PoolauditError
    from poolaudit.testing.session import write_session

    ledger = _ledger(config)
    stopped = session.shouldfail or session.shouldstop
    if stopped or exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        why = f" ({stopped})" if isinstance(stopped, str) else ""
        ledger.notes.append(f"The session was stopped{why}: tests that did not run are missing here.")
    elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        ledger.notes.append("No test ran.")
    try:
        config.stash[_TOLD] = f"poolaudit report: {_short(write_session(ledger, Path(folder)), config)}"
    except PoolauditError as error:
        config.stash[_TOLD] = f"poolaudit wrote no report: {error}"
        if exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _short(path: Path, config: pytest.Config) -> Path:
    here = config.invocation_params.dir
    return path.relative_to(here) if path.is_relative_to(here) else path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says where the report lies, below the failures, where one looks."""
    told = terminalreporter.config.stash.get(_TOLD, None)
    if told is not None:
        terminalreporter.write_line(told)


@dataclass
class _LayerRun:
    """One layer with all its properties: attacked once, when the first of its items runs.

    Attributes:
        error: What ended the attack; each further item is told the same without another try.
    """

    layer: Any
    options: dict[str, Any]
    results: dict[str, list[PropertyResult]] = field(default_factory=dict)
    ran: bool = False
    error: Exception | None = None

    def of(self, name: str, profile: str) -> list[PropertyResult]:
        __tracebackhide__ = True
        if not self.ran:
            self.ran = True
            self._attack(profile)
        if self.error is not None:
            raise self.error
        return self.results.get(name, [])

    def _attack(self, profile: str) -> None:
        from poolaudit.conformance import check_layer

        asked = self.options if self.options["profile"] is not None else {**self.options, "profile": profile}
        try:
            for result in check_layer(self.layer, **asked).results:
                self.results.setdefault(result.property, []).append(result)
        except Exception as error:
            self.error = error


@dataclass(frozen=True)
class _Item:
    """One property of one layer, as a pytest parameter."""

    run: _LayerRun
    name: str
    expected_failure: str | None
    strict: bool


def parametrize_with_properties(
    layers: Any,
    *,
    like: str | None = None,
    dims: int | None = None,
    profile: str | None = None,
    properties: Sequence[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    strict: bool = True,
    seed: int = 0,
) -> pytest.MarkDecorator:
    """Parametrises a test over (layer, property); its argument `conformance_result` is the list of `PropertyResult`.

    Each layer is attacked once, when its first item runs. An item fails with the counterexample and the script that
    replays it. A failure that is the framework's own is an expected failure, a property that cannot be tried is
    skipped with the reason, a check without a result fails.

    Args:
        layers: A layer class, a factory, "package.module:Class", or a list of these.
        profile: "quick", "standard" or "thorough"; None takes `--poolaudit-profile`.
        expected_failures: Names of properties that are known to fail, with the reason.
        strict: An expected failure that passes fails the item: the entry is stale.

    The other arguments are those of `poolaudit.conformance.check_layer`.

    Raises:
        InvalidInputError: An unknown property, also among the expected failures.
    """
    from poolaudit.conformance import all_properties

    registry = all_properties()
    expected = dict(expected_failures or {})
    names = [registry.get(name).name for name in (properties if properties is not None else registry.names())]
    for name in expected:
        registry.get(name)
    options = {"like": like, "dims": dims, "profile": profile, "properties": names, "seed": seed}
    parameters = []
    for layer in layers if isinstance(layers, list | tuple) else [layers]:
        run = _LayerRun(layer, options)
        label = layer.rpartition(":")[2] if isinstance(layer, str) else getattr(layer, "__name__", type(layer).__name__)
        parameters += [
            pytest.param(_Item(run, name, expected.get(name), strict), id=f"{label}-{name}") for name in names
        ]
    return pytest.mark.parametrize("conformance_result", parameters, indirect=True)


def conformance(layer: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the test runs once for every property of `layer`; see `parametrize_with_properties`."""
    return parametrize_with_properties(layer, **options)


@pytest.fixture
def conformance_result(request: pytest.FixtureRequest) -> list[PropertyResult]:
    """The results of one property of one layer; only for tests decorated with `conformance`."""
    item = getattr(request, "param", None)
    if not isinstance(item, _Item):
        pytest.fail(
            "the fixture `conformance_result` belongs to tests decorated with poolaudit.pytest_plugin.conformance"
        )
    return item.run.of(item.name, _profile(request.config))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Judges an item before its function runs: a property that does not hold is a failure, not an error of setup."""
    callspec = getattr(pyfuncitem, "callspec", None)
    item = callspec.params.get("conformance_result") if callspec is not None else None
    if isinstance(item, _Item):
        found = item.run.of(item.name, _profile(pyfuncitem.config))
        _record(pyfuncitem, item, found)
        _judge(item, found)


def _record(pyfuncitem: pytest.Function, item: _Item, found: list[PropertyResult]) -> None:
    if found and _asked(pyfuncitem.config, "report") is not None:
        session = _session(pyfuncitem.config)
        session.test = pyfuncitem.nodeid
        session.record_layer(found[0].layer, found, item.run.options["seed"])


def _judge(item: _Item, found: list[PropertyResult]) -> None:
    own = [r for r in found if r.outcome.value in ("FAILED", "CRASHED", "UNDECIDED") and r.known_divergence is None]
    if item.expected_failure is not None:
        if own:
            pytest.xfail(item.expected_failure)
        if item.strict:
            pytest.fail(
                f"{item.name} was expected to fail ({item.expected_failure}) and does not; remove the entry",
                pytrace=False,
            )
    if own:
        pytest.fail("\n\n".join(_told(r) for r in own), pytrace=False)
    known = [r for r in found if r.known_divergence is not None]
    if known:
        pytest.xfail(f"a defect of the framework: {known[0].known_divergence}")
    if not any(r.outcome.value == "PASSED" for r in found):
        pytest.skip(found[0].reason or "not tried" if found else "says nothing about a layer of this kind")


def _told(result: PropertyResult) -> str:
    head = f"{result.property} of {result.layer} ({result.mode}, {result.dtype}): {result.outcome.value}"
    if result.counterexample is None:
        return f"{head}\n{result.reason}"
    case = result.counterexample
    told = [head, f"case      {case.configuration}", f"observed  {case.observed}", f"expected  {case.expected}"]
    return "\n".join([*told, "", case.snippet])
