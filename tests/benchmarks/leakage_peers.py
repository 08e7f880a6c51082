"""poolaudit beside cleanvision and imagededup on the same image files: seconds, precision, recall by change, F1.

    python tests/benchmarks/leakage_peers.py FOLDER PEER_PYTHON [garments|photographs|all-garments]

PEER_PYTHON is the interpreter of an environment with `pip install cleanvision imagededup`. Every tool reads the same
PNG files in a process of its own, one after the other, with its default settings and all processors; the clock starts
before it reads the first file, and the processors' time includes starting the interpreter. imagededup's perceptual hash
is tried at every distance and shown at the one with its best F1; among all 70,000 garments at its default distance
only. What has not ended after a quarter of an hour is ended. Its network needs weights from a hub; it is tried, and
left out with the reason where they cannot be had.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TRAIN, CLEAN, EACH, SEED = 6000, 2000, 50, 31
ALL_GARMENTS = "all-garments"
SECONDS_ALLOWED = 900
NOT_ENDED = f"not ended after {SECONDS_ALLOWED} s"
Pairs = set[tuple[int, int]]


def make(folder: Path, what: str) -> None:
    from PIL import Image

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from leakage.leakage_examples import garments, patches
    from specimens.planted_copies import plant

    rng = np.random.default_rng(SEED)
    if "garments" in what:
        train, _, test, _ = garments()
        size, others = (len(train), len(test) - 14 * EACH) if what == ALL_GARMENTS else (TRAIN, CLEAN)
        train, clean, each = train[:size], test[:others], EACH
    else:
        items = rng.permutation(patches(48))
        cut = int(0.75 * len(items))
        train, clean, each = items[:cut], items[cut:], cut // 14
    copies, origins, names = plant(train, rng, each)
    for split, items in (("train", train), ("test", np.concatenate([clean, copies]))):
        for at, item in enumerate(items):
            place = folder / split / "ab"[at % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(item[..., 0] if item.shape[-1] == 1 else item).save(place / f"{split}_{at:05d}.png")
    truth = {
        str(len(clean) + at): [int(origin), name] for at, (origin, name) in enumerate(zip(origins, names, strict=False))
    }
    (folder / "truth.json").write_text(json.dumps(truth))


def rated(folder: Path, pairs: Pairs) -> tuple[float, float, float, dict[str, float]]:
    """Precision, recall and F1 of (test, train) pairs, and recall by change."""
    truth = json.loads((folder / "truth.json").read_text())
    right = {(int(at), origin) for at, (origin, _) in truth.items()}
    hits: dict[str, list[bool]] = defaultdict(list)
    for at, (origin, name) in truth.items():
        hits[name].append((int(at), origin) in pairs)
    precision = len(pairs & right) / max(len(pairs), 1)
    recall = len(pairs & right) / len(right)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return precision, recall, f1, {name: round(float(np.mean(found)), 2) for name, found in hits.items()}


def numbered(name: str) -> tuple[str, int]:
    split, number = Path(name).stem.split("_")
    return split, int(number)


def pairs_of(sets: list[list[str]]) -> Pairs:
    pairs = set()
    for names in sets:
        known = [numbered(name) for name in names]
        own = [number for split, number in known if split == "test"]
        pairs |= {(a, b) for a in own for split, b in known if split == "train"}
    return pairs


def with_poolaudit(folder: Path) -> tuple[float, Pairs]:
    clock = time.perf_counter()
    from poolaudit.leakage.find import find_in_splits
    from poolaudit.subject.data import load_splits

    splits = load_splits({"train": folder / "train", "test": folder / "test"})
    found = find_in_splits(splits)
    seconds = time.perf_counter() - clock
    test, train = splits["test"].paths, splits["train"].paths
    assert test is not None
    assert train is not None
    return seconds, {
        (numbered(test[a])[1], numbered(train[b])[1])
        for a, b in zip(found.links.first.tolist(), found.links.second.tolist(), strict=True)
    }


def with_cleanvision(folder: Path) -> tuple[float, Pairs]:
    clock = time.perf_counter()
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    seconds = time.perf_counter() - clock
    return seconds, pairs_of(lab.info["exact_duplicates"]["sets"] + lab.info["near_duplicates"]["sets"])


def with_hash(folder: Path) -> tuple[float, Pairs]:
    clock = time.perf_counter()
    from imagededup.methods import PHash

    best: tuple[float, Pairs] = (-1.0, set())
    seconds = 0.0
    hasher = PHash(verbose=False)
    distances = (10,) if "train_59999.png" in os.listdir(folder / "train" / "b") else (0, 2, 4, 6, 8, 10, 12, 16)
    encodings = hasher.encode_images(image_dir=str(folder), recursive=True)
    read = time.perf_counter() - clock
    for distance in distances:
        clock = time.perf_counter()
        found = hasher.find_duplicates(encoding_map=encodings, max_distance_threshold=distance)
        spent = read + time.perf_counter() - clock
        pairs = pairs_of([[name, other] for name, others in found.items() for other in others])
        f1 = rated(folder, pairs)[2]
        if f1 > best[0]:
            best, seconds = (f1, pairs), spent
    return seconds, best[1]


def with_network(folder: Path) -> tuple[float, Pairs]:
    clock = time.perf_counter()
    from imagededup.methods import CNN

    found = CNN(verbose=False).find_duplicates(image_dir=str(folder), recursive=True, min_similarity_threshold=0.9)
    pairs = pairs_of([[name, other] for name, others in found.items() for other in others])
    return time.perf_counter() - clock, pairs


TOOLS = {
    "poolaudit": with_poolaudit,
    "cleanvision": with_cleanvision,
    "imagededup perceptual hash": with_hash,
    "imagededup network": with_network,
}


@dataclass(frozen=True)
class Found:
    """What a tool found, and what it took.

    Attributes:
        seconds: Of the clock, without the start of the interpreter.
        processors: Seconds of all processors, with it.
    """

    seconds: float
    processors: float
    precision: float
    recall: float
    f1: float
    by_change: dict[str, float]


def compared(folder: Path, peers: str, what: str) -> dict[str, Found | str]:
    """Each tool once, one after the other; the reason where one could not be run."""
    make(folder, what)
    said: dict[str, Found | str] = {}
    for tool in TOOLS:
        python = sys.executable if tool == "poolaudit" else peers
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        running = subprocess.Popen(
            [python, __file__, "run", str(folder), tool],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, problem = running.communicate(timeout=SECONDS_ALLOWED)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # with the processes it started
            running.communicate()
            said[tool] = NOT_ENDED
            continue
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if running.returncode:
            said[tool] = (problem.strip().splitlines() or ["no reason"])[-1]
        else:
            spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            said[tool] = Found(processors=spent, **json.loads(out.splitlines()[-1]))
    return said


def main(folder: Path, peers: str, what: str) -> None:
    for tool, found in compared(folder, peers, what).items():
        print(f"{tool}: {found}")


if __name__ == "__main__":
    if sys.argv[1] == "run":
        seconds, pairs = TOOLS[sys.argv[3]](Path(sys.argv[2]))
        precision, recall, f1, by_change = rated(Path(sys.argv[2]), pairs)
        rates = {"precision": precision, "recall": recall, "f1": f1}
        print(json.dumps({"seconds": seconds, **rates, "by_change": by_change}))
    else:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "garments")
