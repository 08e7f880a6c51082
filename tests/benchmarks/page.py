"""Everything that is timed beside something else: docs/benchmarks.md.

python tests/benchmarks/page.py [--peers PYTHON] [--alone PYTHON] [--only NAME] [--out FILE]

With `--only` the other sections of the page stay as they are; each says when and with what it was measured.

Parties take turns, each in a process of its own; a ratio is theirs by ours, its spread that of the rounds. The other
tools live in environments of their own, which are made where none are given.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "ablation"), str(HERE.parents[1])]
PEERS = (
    "cleanvision",
    "confidenceinterval",
    "imagededup",
    "keras-tuner",
    "mlxtend",
    "skore",
    "tensorboard",
    "tensorflow",
)
# Its pins exclude what the others need.
ALONE = (
    "deepchecks",
    "anywidget",
    "category-encoders<2.7",
    "numpy<2",
    "pandas<2.3",
    "scikit-learn<1.5",
    "setuptools<81",
)
ROUNDS = 3
REPETITIONS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        ratios: Theirs by ours, one a round; empty where there is none.
        bar: The least ratio that is promised; None where none is.
        answers: Whether both said the same, and how that was checked.
    """

    question: str
    against: str
    ours: str
    theirs: str
    ratios: tuple[float, ...]
    answers: str
    bar: float | None = None
    note: str = ""

    def line(self) -> str:
        if not self.ratios:
            return (
                f"| {self.question} | {self.against} | {self.ours} | {self.theirs} | – | {self.answers} | {self.note} |"
            )
        middle = statistics.median(self.ratios)
        spread = f"{_short(middle)} ({_short(min(self.ratios))} to {_short(max(self.ratios))})"
        promised = ""
        if self.bar is not None:
            promised = f"promised {self.bar:.3g}: {'met' if middle >= self.bar else '**missed**'}"
        note = "; ".join(filter(None, (promised, self.note)))
        return (
            f"| {self.question} | {self.against} | {self.ours} | {self.theirs} | {spread} | {self.answers} | {note} |"
        )


@dataclass(frozen=True)
class Given:
    """Where the run takes place.

    Attributes:
        peers: The interpreter of the other tools, and of the one that needs its own.
    """

    folder: Path
    peers: str
    alone: str


def predictions(folder: Path) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(20_000) < 0.1).astype(np.int64)
    p = 1 / (1 + np.exp(-(rng.normal(size=len(y)) + 2.5 * y - 2)))
    np.savez(folder / "two.npz", label=y, p_0=1 - p, p_1=p)
    y = rng.integers(0, 10, 20_000)
    np.savez(folder / "ten.npz", label=y, predicted=np.where(rng.random(len(y)) < 0.8, y, rng.integers(0, 10, len(y))))


def told(python: str, party: str, folder: Path) -> tuple[float, dict[str, float]] | str:
    """Seconds and answer, or why there is none."""
    done = subprocess.run([python, str(HERE / "parties.py"), party, str(folder)], capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason"])[-1]
    said = json.loads(done.stdout.splitlines()[-1])
    return said["seconds"], said["answer"]


def in_turns(given: Given, question: str, job: str, tool: str, against: str, within: float) -> Row:
    """Both parties in turns; their common answers must agree within `within`."""
    ours, theirs = f"{job}_poolaudit", f"{job}_{tool}"
    python = {"scipy": sys.executable, "deepchecks": given.alone}.get(tool, given.peers)
    spent: dict[str, list[float]] = {ours: [], theirs: []}
    answers = {}
    for number in range(ROUNDS):
        for party in (ours, theirs) if number % 2 else (theirs, ours):
            heard = told(sys.executable if party == ours else python, party, given.folder)
            if isinstance(heard, str):
                return Row(question, against, "–", "–", (), "–", note=f"could not be run: {heard[:120]}")
            spent[party].append(heard[0])
            answers[party] = heard[1]
    common = [name for name in answers[ours] if name in answers[theirs] and name != "kB"]
    apart = max(abs(answers[ours][name] - answers[theirs][name]) for name in common)
    same = f"the same within {apart:.1g}" if apart <= within else f"**differ by {apart:.3g}**"
    sizes = [f"{answers[party]['kB']:,.0f} kB" for party in (ours, theirs) if "kB" in answers[party]]
    ratios = tuple(b / a for a, b in zip(spent[ours], spent[theirs], strict=True))
    told_ours, told_theirs = (_seconds(statistics.median(spent[party])) for party in (ours, theirs))
    if sizes:
        told_ours, told_theirs = f"{told_ours}, {sizes[0]}", f"{told_theirs}, {sizes[1]}"
    return Row(question, against, told_ours, told_theirs, ratios, same)


def statistics_rows(given: Given) -> Iterator[Row]:
    ranking = "ROC AUC and average precision of 20,000 items, with 95 % intervals"
    yield in_turns(given, ranking, "ranking", "scipy", "SciPy's bootstrap, 1,000 resamples", 0.01)
    yield in_turns(
        given, "the same, against ROC AUC alone", "ranking", "confidenceinterval", "confidenceinterval", 0.01
    )
    averages = "balanced accuracy, MCC and kappa of 20,000 items, with intervals"
    yield in_turns(given, averages, "averages", "scipy", "SciPy's bootstrap, 1,000 resamples", 0.01)
    row = in_turns(given, "are two identical models different?", "identical", "mlxtend", "mlxtend's McNemar", 0.01)
    yield Row(row.question, row.against, "p = 1", "p = 0", (), row.answers, note="its default, without a correction")


def report_rows(given: Given) -> Iterator[Row]:
    question = "report of 20,000 predictions, from the start of the program to the page"
    for name in ("skore", "deepchecks"):
        yield in_turns(given, question, "report", name, name, 1e-6)


def swap_rows(given: Given) -> Iterator[Row]:
    from test_benchmark_swap import side_by_side

    pairs = [side_by_side(64, 128, 32) for _ in range(ROUNDS)]
    yield Row(
        "VGG16 with another pooling at each of five sites, predictions of 128 items",
        "cloning and predicting",
        _seconds(statistics.median(ours for ours, _ in pairs)),
        _seconds(statistics.median(plain for _, plain in pairs)),
        tuple(plain / ours for ours, plain in pairs),
        "the same within 1e-5",
        1.8,
    )


def layer_rows(given: Given) -> Iterator[Row]:
    """Keras's own pooling tests beside a quick `poolaudit check`: on Keras as it is, and with slips planted in it."""
    import layer_peers

    theirs, ours = layer_peers.keras_tests(), layer_peers.checked(["keras"])
    yield Row(
        "all pooling layers of Keras as they are, quick profile",
        "Keras's own pooling tests",
        _seconds(ours.seconds),
        _seconds(theirs.seconds),
        (theirs.seconds / ours.seconds,),
        f"{ours.known} listed and {ours.found} unlisted defects shown by {ours.tried:,} cases; {theirs.found} by "
        f"{theirs.tried} tests",
    )
    said = list(layer_peers.with_slips())
    missed = [name for name, _, one in said if not one.found]
    passed = [name for name, one, _ in said if not one.found]
    yield Row(
        f"{len(said)} slips planted in pooling layers, one at a time, quick profile",
        "Keras's own pooling tests",
        _seconds(statistics.median(one.seconds for _, _, one in said)),
        _seconds(statistics.median(one.seconds for _, one, _ in said)),
        tuple(theirs.seconds / ours.seconds for _, theirs, ours in said),
        f"{len(said) - len(missed)} caught against {len(said) - len(passed)}",
        note="; ".join(
            f"{who} let pass: {', '.join(names)}"
            for who, names in (("Keras's tests", passed), ("poolaudit", missed))
            if names
        ),
    )


def trial_rows(given: Given) -> Iterator[Row]:
    yield _overhead_row()
    yield _race_row()


def _race_row() -> Row:
    """Trainings of the race beside those of the full grid, on the bank of scenarios with known truth."""
    import test_ablation_scenarios as bank
    from simulated import draw, race, scenario

    full = dataclasses.replace(bank.RULES, stops_early=False)
    ratios, raced_all, grid_all, same, open_only, decided = [], [], [], 0, 0, 0
    for number in bank.GUILTY + bank.INNOCENT:
        shares = []
        for seed in range(REPETITIONS):
            rng = np.random.default_rng([number, seed])
            chosen = bank.chosen_seeds(bank.arms(number), rng, bank.PLANNED)
            drawn = draw(scenario(number), rng, chosen["baseline"][:3])
            (raced, few), (grid, many) = race(drawn, chosen, bank.RULES), race(drawn, chosen, full)
            shares.append(many / few)
            raced_all.append(few)
            grid_all.append(many)
            ours, theirs = raced.standings(), grid.standings()
            decided += len(theirs)
            same += sum(ours[name].decision == theirs[name].decision for name in theirs)
            open_only += sum(
                ours[name].decision == "undecided" and theirs[name].decision != "undecided" for name in theirs
            )
        ratios.append(statistics.median(shares))
    return Row(
        f"trainings until the variants of {len(ratios)} scenarios are decided, {REPETITIONS} draws each",
        "the full grid",
        f"{statistics.mean(raced_all):.0f}",
        f"{statistics.mean(grid_all):.0f}",
        tuple(ratios),
        f"{same} of {decided} decisions alike; {open_only} of the others are undecided in the race only",
        2.0,
        note="a ratio of trainings, one a scenario",
    )


def _overhead_row() -> Row:
    """A bare fit beside a whole trial of the same training: processor time, which others on the machine leave alone."""
    import test_benchmark_ablation as ablation

    rows = ablation.overhead("signals")
    return Row(
        "one trial: building, a checkpoint an epoch, predictions, storing",
        "model.fit alone",
        _seconds(statistics.median(row["trial_cpu"] for row in rows)),
        _seconds(statistics.median(row["bare_cpu"] for row in rows)),
        tuple(row["bare_cpu"] / row["trial_cpu"] for row in rows),
        "the same model, items and epochs",
        1 / 1.05,
        note="processor time",
    )


def training_rows(given: Given) -> Iterator[Row]:
    import test_benchmark_ablation as ablation

    ours, plain, tuner = [], [], []
    for number in range(ROUNDS):
        folder = given.folder / f"trials-{number}"
        ours.append(ablation.workers(folder, "signals"))
        plain.append(ablation.plain("signals"))
        heard = ablation.tuner("signals", given.peers)
        if heard is not None:
            tuner.append(heard)
    for against, spent, bar in (("a plain loop of model.fit", plain, 1.3), ("KerasTuner's grid search", tuner, None)):
        if len(spent) < len(ours):
            yield Row("four trainings of one model, two processes", against, "–", "–", (), "–", note="could not be run")
            continue
        yield Row(
            "four trainings of one model, two processes",
            against,
            _seconds(statistics.median(ours)),
            _seconds(statistics.median(spent)),
            tuple(b / a for a, b in zip(ours, spent, strict=True)),
            "seeds differ in nothing but order; the same items and epochs",
            bar,
        )


def leakage_rows(given: Given) -> Iterator[Row]:
    import leakage_peers

    for question, what in (
        ("copies among 192 + 247 patches of photographs", "photographs"),
        ("copies among 60,000 + 10,000 garments", leakage_peers.ALL_GARMENTS),
    ):
        said = leakage_peers.compared(given.folder / what, given.peers, what)
        ours = said.pop("poolaudit")
        if isinstance(ours, str):
            raise SystemExit(ours)
        for name, theirs in said.items():
            if theirs == leakage_peers.NOT_ENDED:
                least = leakage_peers.SECONDS_ALLOWED / ours.seconds
                yield Row(question, name, _seconds(ours.seconds), theirs, (least,), "–", 5.0, "at least so many times")
            elif isinstance(theirs, str):
                yield Row(question, name, "–", "–", (), "–", note=f"could not be run: {theirs[:100]}")
            else:
                f1 = f"F1 {ours.f1:.2f} against {theirs.f1:.2f}; recall {ours.recall:.2f} against {theirs.recall:.2f}"
                ratio = (theirs.seconds / ours.seconds,)
                why = WHY_SLOWER if ratio[0] < 5 else ""
                yield Row(question, name, _seconds(ours.seconds), _seconds(theirs.seconds), ratio, f1, 5.0, why)


WHY_SLOWER = "a hash is taken once an image; here every query is described 75 times and verified on its pixels"


def growth() -> Iterator[tuple[str, Sequence[tuple[int, float]]]]:
    """What grows, and (size, seconds or kB)."""
    import growth as curves

    yield from curves.all_curves()


SECTIONS: dict[str, tuple[str, Callable[[Given], Iterator[Row]]]] = {
    "statistics": ("Statistics", statistics_rows),
    "report": ("Reports", report_rows),
    "layers": ("Tests of pooling layers", layer_rows),
    "swap": ("Other pooling under trained weights", swap_rows),
    "training": ("Trainings", training_rows),
    "trials": ("Trials of an ablation", trial_rows),
    "leakage": ("Copies of images", leakage_rows),
}
GROWTH = "How the work grows"


def environment(folder: Path, packages: Sequence[str]) -> str:
    """An interpreter with the packages, those that install; what does not is told by the row that needs it."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=False)
    return python


def versions(python: str, names: Sequence[str]) -> str:
    code = f"""
from importlib.metadata import PackageNotFoundError, version
for name in {list(names)!r}:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    return ", ".join(said.splitlines())


def machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


HEAD = """# Benchmarks

Made by `tox run -e bench`; do not edit. In each section parties took turns in one run, each in a process of its own; a
ratio is their time by ours, the median of the rounds with the smallest and the largest. Ratios hold for this machine,
for these versions, and for the inputs named.
"""


def section(rows: Sequence[Row], given: Given) -> str:
    """A table, and when and with what it was measured."""
    others = filter(None, (versions(given.peers, PEERS), versions(given.alone, ("deepchecks",))))
    lines = [
        f"{_measured()} Others: {', '.join(others)}.",
        "",
        "| what | against | poolaudit | the other | times as fast | answers | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row.line() for row in rows),
    ]
    return "\n".join(lines)


def growth_section(curves: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> str:
    """A table of exponents, and when and with what they were measured."""
    lines = [
        f"{_measured()} The exponent is the slope of a line through the logarithms of the larger half of the sizes:",
        "1 is linear.",
        "",
        "| what | smallest | largest | exponent |",
        "| --- | --- | --- | --- |",
    ]
    for name, points in curves:
        (first, low), (last, high) = points[0], points[-1]
        unit = "kB" if "kB" in name else "s"
        lines.append(
            f"| {name} | {first:,}: {_short(low)} {unit} | {last:,}: {_short(high)} {unit} | {_exponent(points):.2f} |"
        )
    return "\n".join(lines)


def _measured() -> str:
    own = ", ".join(
        f"{n} {importlib.metadata.version(n)}" for n in ("numpy", "scipy", "scikit-learn", "tensorflow", "keras")
    )
    return f"{datetime.date.today().isoformat()}; {machine()}; {own}."


def sections_of(page: Path) -> dict[str, str]:
    """The sections that the page has, by their titles."""
    parts = page.read_text().split("\n## ")[1:] if page.exists() else []
    return {title: text.strip() for title, _, text in (part.partition("\n") for part in parts)}


def _exponent(points: Sequence[tuple[int, float]]) -> float:
    half = points[len(points) // 2 :] if len(points) > 3 else points
    sizes, values = np.log(np.array(half, np.float64)).T
    return float(np.polyfit(sizes, values, 1)[0])


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--peers", help="interpreter of an environment with the other tools")
    read.add_argument("--alone", help="likewise, with deepchecks")
    read.add_argument("--only", choices=[*SECTIONS, "growth"], action="append")
    read.add_argument("--out", type=Path, default=HERE.parents[1] / "docs" / "benchmarks.md")
    asked = read.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = asked.peers or environment(folder / "peers", PEERS)
        given = Given(folder, peers, asked.alone or environment(folder / "alone", ALONE))
        predictions(folder)
        made = sections_of(asked.out)
        for name, (title, compare) in SECTIONS.items():
            if asked.only is None or name in asked.only:
                rows = []
                for row in compare(given):
                    print(row.line(), flush=True)
                    rows.append(row)
                made[title] = section(rows, given)
        if asked.only is None or "growth" in asked.only:
            made[GROWTH] = growth_section(list(growth()))
            print(made[GROWTH])
        order = [*(title for title, _ in SECTIONS.values()), GROWTH]
        asked.out.write_text("\n".join([HEAD, *(f"## {title}\n\n{made[title]}\n" for title in order if title in made)]))


if __name__ == "__main__":
    main()
