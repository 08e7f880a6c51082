"""What is timed side by side: each function does one job as one tool does it, on the same files.

python tests/benchmarks/parties.py NAME FOLDER prints {"seconds": ..., "answer": {...}} as JSON. Imports are not
counted, except where a whole command is timed. The functions of other tools run in the environment that those
are installed in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Answer = dict[str, float]
Party = Callable[[Path], tuple[float, Answer]]
_RESAMPLES = 1_000


def _scores(folder: Path) -> tuple[Any, Any]:
    stored = np.load(folder / "two.npz")
    return stored["label"], stored["p_1"]


def _labels(folder: Path) -> tuple[Any, Any]:
    stored = np.load(folder / "ten.npz")
    return stored["label"], stored["predicted"]


def ranking_poolaudit(folder: Path) -> tuple[float, Answer]:
    from poolaudit.statistics.ranking import average_precision, rank_scores, roc_auc

    y, p = _scores(folder)
    clock = time.perf_counter()
    ranked = rank_scores(p, y == 1)
    area, precision = roc_auc(ranked), average_precision(ranked)
    seconds = time.perf_counter() - clock
    return seconds, {"auc": area.value, "auc_low": area.low, "auc_high": area.high, "ap": precision.value,
                     "ap_low": precision.low, "ap_high": precision.high}  # fmt: skip


def ranking_scipy(folder: Path) -> tuple[float, Answer]:
    from scipy.stats import bootstrap
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, p = _scores(folder)
    answer: Answer = {}
    clock = time.perf_counter()
    for name, metric in (("auc", roc_auc_score), ("ap", average_precision_score)):
        drawn = bootstrap((y, p), metric, n_resamples=_RESAMPLES, paired=True, vectorized=False, method="percentile",
                          rng=np.random.default_rng(0))  # fmt: skip
        low, high = drawn.confidence_interval
        answer |= {name: metric(y, p), f"{name}_low": low, f"{name}_high": high}
    return time.perf_counter() - clock, answer


def ranking_confidenceinterval(folder: Path) -> tuple[float, Answer]:
    from confidenceinterval import roc_auc_score

    y, p = _scores(folder)
    clock = time.perf_counter()
    value, (low, high) = roc_auc_score(y, p, confidence_level=0.95)
    return time.perf_counter() - clock, {"auc": value, "auc_low": low, "auc_high": high}


def averages_poolaudit(folder: Path) -> tuple[float, Answer]:
    from poolaudit.evaluation.confusion import confusion_matrix, overall_metrics

    y, predicted = _labels(folder)
    clock = time.perf_counter()
    counts = confusion_matrix(y, predicted, 10)
    found = overall_metrics(counts, [str(i) for i in range(10)], 0.95, np.random.default_rng(0))
    seconds = time.perf_counter() - clock
    answer: Answer = {}
    for name in ("balanced_accuracy", "matthews_correlation", "cohens_kappa"):
        estimate = getattr(found, name)
        answer |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return seconds, answer


def averages_scipy(folder: Path) -> tuple[float, Answer]:
    from scipy.stats import bootstrap
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, matthews_corrcoef

    y, predicted = _labels(folder)
    answer: Answer = {}
    clock = time.perf_counter()
    for name, metric in (
        ("balanced_accuracy", balanced_accuracy_score),
        ("matthews_correlation", matthews_corrcoef),
        ("cohens_kappa", cohen_kappa_score),
    ):
        drawn = bootstrap((y, predicted), metric, n_resamples=_RESAMPLES, paired=True, vectorized=False,
                          method="percentile", rng=np.random.default_rng(0))  # fmt: skip
        low, high = drawn.confidence_interval
        answer |= {name: metric(y, predicted), f"{name}_low": low, f"{name}_high": high}
    return time.perf_counter() - clock, answer


def identical_poolaudit(folder: Path) -> tuple[float, Answer]:
    from poolaudit.statistics.binomial import mcnemar_two_sided

    clock = time.perf_counter()
    p = mcnemar_two_sided(0, 0)
    return time.perf_counter() - clock, {"p": p}


def identical_mlxtend(folder: Path) -> tuple[float, Answer]:
    from mlxtend.evaluate import mcnemar

    clock = time.perf_counter()
    _, p = mcnemar(np.array([[900, 0], [0, 100]]))
    return time.perf_counter() - clock, {"p": float(p)}


def report_poolaudit(folder: Path) -> tuple[float, Answer]:
    command = [sys.executable, "-m", "poolaudit", "metrics", str(folder / "two.npz"), "--positive", "1", "--quiet"]
    clock = time.perf_counter()
    subprocess.run([*command, "--out", str(folder / "ours")], check=False, capture_output=True)
    seconds = time.perf_counter() - clock
    said = json.loads((folder / "ours" / "result.json").read_text())["evidence"]["evaluation"]
    recall = next(c for c in said["per_class"] if c["name"] == "1")["recall"]["value"]
    return seconds, {"recall": recall, "kB": (folder / "ours" / "report.html").stat().st_size / 1000}


def report_deepchecks(folder: Path) -> tuple[float, Answer]:
    clock = time.perf_counter()
    import pandas as pd
    from deepchecks.tabular import Dataset
    from deepchecks.tabular.suites import model_evaluation

    y, p = _scores(folder)
    data = Dataset(pd.DataFrame({"score": p, "label": y}), label="label", cat_features=[])
    both = np.column_stack([1 - p, p])
    given = {"y_proba_train": both, "y_proba_test": both, "model_classes": [0, 1]}
    result = model_evaluation().run(data, data, **given, y_pred_train=(p >= 0.5) * 1, y_pred_test=(p >= 0.5) * 1)
    result.save_as_html(str(folder / "deepchecks.html"))
    return time.perf_counter() - clock, {
        "recall": float(((p >= 0.5) & (y == 1)).sum() / (y == 1).sum()),
        "kB": (folder / "deepchecks.html").stat().st_size / 1000,
    }


def report_skore(folder: Path) -> tuple[float, Answer]:
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - scikit-learn's names
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X: Any) -> Any:  # noqa: N803
            return np.column_stack([1 - X[:, 0], X[:, 0]])

        def predict(self, X: Any) -> Any:  # noqa: N803
            return (X[:, 0] >= 0.5) * 1

    clock = time.perf_counter()
    from skore import EstimatorReport

    y, p = _scores(folder)
    report = EstimatorReport(Given().fit(None, None), X_test=p[:, None], y_test=y, pos_label=1)
    recall = report.metrics.recall()
    page = report._repr_html_()  # what a notebook shows; the package writes no file of its own
    seconds = time.perf_counter() - clock
    (folder / "skore.html").write_text(page)
    return seconds, {"recall": float(recall), "kB": len(page.encode()) / 1000}


PARTIES: dict[str, Party] = {
    name: party
    for name, party in list(globals().items())
    if callable(party) and name.count("_") == 1 and name[0] != "_"
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    spent, found = PARTIES[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"seconds": spent, "answer": {name: float(value) for name, value in found.items()}}))
