"""poolaudit beside cleanvision and imagededup on the same images: seconds, recall by change, F1.

Run it where the peers are installed, in an environment of their own:

    python tests/benchmarks/leakage_peers.py make FOLDER          # writes train.npz, test.npz and PNG files
    python tests/benchmarks/leakage_peers.py poolaudit FOLDER
    PEER_ENV/bin/python tests/benchmarks/leakage_peers.py cleanvision FOLDER
    PEER_ENV/bin/python tests/benchmarks/leakage_peers.py imagededup FOLDER   # perceptual hash; needs torch to import

imagededup's CNN needs weights from a hub and is left out where there is no network.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN, CLEAN, EACH, SEED = 6000, 2000, 50, 31


def make(folder: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from leakage.leakage_examples import garments
    from specimens.planted_copies import plant

    train, _, test, _ = garments()
    rng = np.random.default_rng(SEED)
    copies, origins, names = plant(train[:TRAIN], rng, EACH)
    every = np.concatenate([test[:CLEAN], copies])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "train.npz", x=train[:TRAIN], y=np.arange(TRAIN) % 2)
    np.savez(folder / "test.npz", x=every, y=np.arange(len(every)) % 2)
    (folder / "png").mkdir(exist_ok=True)
    for split, items in (("train", train[:TRAIN]), ("test", every)):
        for at, item in enumerate(items):
            Image.fromarray(item[..., 0]).save(folder / "png" / f"{split}_{at:05d}.png")
    truth = {
        str(CLEAN + at): [int(origin), name] for at, (origin, name) in enumerate(zip(origins, names, strict=False))
    }
    (folder / "truth.json").write_text(json.dumps(truth))


def report(folder: Path, seconds: float, pairs: set[tuple[int, int]]) -> None:
    """Recall by change and F1 of (test, train) pairs."""
    truth = json.loads((folder / "truth.json").read_text())
    right = {(int(at), origin) for at, (origin, _) in truth.items()}
    hits: dict[str, list[bool]] = defaultdict(list)
    for at, (origin, name) in truth.items():
        hits[name].append((int(at), origin) in pairs)
    precision = len(pairs & right) / max(len(pairs), 1)
    recall = len(pairs & right) / len(right)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    print(f"{seconds:.1f} s, precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")
    print({name: round(float(np.mean(found)), 2) for name, found in hits.items()})


def with_poolaudit(folder: Path) -> None:
    from poolaudit.leakage.find import find_in_splits
    from poolaudit.leakage.items import make_items
    from poolaudit.leakage.nearby import Searched
    from poolaudit.subject.data import load_splits

    clock = time.perf_counter()
    splits = load_splits({"train": folder / "train.npz", "test": folder / "test.npz"})
    found = find_in_splits(splits)
    seconds = time.perf_counter() - clock
    # The evidence lists the worst pairs only; all of them are taken from the same search here.
    train = make_items("train", splits["train"].inputs, np.arange(len(splits["train"])))
    test = make_items("test", splits["test"].inputs, np.arange(len(splits["test"])), train.layout)
    searched = Searched(train, 0)
    searched.calibrate(lambda *_: None)
    at = np.flatnonzero(found.leaked)
    matches = searched.matches(test, at, None, False, lambda *_: None)
    report(folder, seconds, set(zip(matches.queries.tolist(), matches.originals.tolist(), strict=True)))


def with_cleanvision(folder: Path) -> None:
    from cleanvision import Imagelab

    clock = time.perf_counter()
    lab = Imagelab(data_path=str(folder / "png"))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    seconds = time.perf_counter() - clock
    sets = lab.info["exact_duplicates"]["sets"] + lab.info["near_duplicates"]["sets"]
    report(folder, seconds, pairs_of(sets))


def with_imagededup(folder: Path) -> None:
    from imagededup.methods import PHash

    clock = time.perf_counter()
    hasher = PHash(verbose=False)
    found = hasher.find_duplicates(image_dir=str(folder / "png"), max_distance_threshold=10)
    seconds = time.perf_counter() - clock
    report(folder, seconds, pairs_of([[name, *others] for name, others in found.items()]))


def pairs_of(sets: list[list[str]]) -> set[tuple[int, int]]:
    pairs = set()
    for names in sets:
        stems = [Path(name).stem.split("_") for name in names]
        own = [int(number) for split, number in stems if split == "test"]
        others = [int(number) for split, number in stems if split == "train"]
        pairs |= {(a, b) for a in own for b in others}
    return pairs


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    {"make": make, "poolaudit": with_poolaudit, "cleanvision": with_cleanvision, "imagededup": with_imagededup}[what](
        where
    )
