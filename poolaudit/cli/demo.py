"""`poolaudit demo`: trains two small models on real data that ships with scikit-learn, and audits both.

One is healthy. The other looks for a rare digit through too much pooling, with few examples: its accuracy is high and
it misses most of what it was built to find. Both models and their data are kept, so that every audit can be repeated
by hand with `poolaudit audit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say
from poolaudit.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_RARE_DIGIT = 8


def register(app: typer.Typer) -> None:
    app.command("demo", help="Train two small models on handwritten digits (no network) and audit both.")(_demo)


@dataclass(frozen=True)
class _Case:
    """One model of the demo with the data it is audited on."""

    folder: str
    title: str
    positive: str | None
    class_names: tuple[str, ...]
    train: tuple[Array, Array]
    test: tuple[Array, Array]


def _demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for models, data and reports.")] = Path("poolaudit-demo"),
    seed: running.Seed = 0,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.audit import AuditPlan
    from poolaudit.store.atomic import make_output_folder

    make_output_folder(out)
    import_tensorflow()
    healthy, rare = _cases(seed)
    reports: list[Path] = []
    for case, build in ((healthy, _healthy_model), (rare, _over_pooled_model)):
        folder = make_output_folder(out / case.folder)
        _say(f"Training: {case.title} ({len(case.train[1]):,} items) ...", quiet)
        model = build(case, seed)
        model.save(folder / "model.keras")
        _save(folder / "test.npz", case)
        command = f"poolaudit audit {folder.name}/model.keras --test {folder.name}/test.npz --budget quick"
        if case.positive:
            command += f" --positive {case.positive}"
        plan = AuditPlan(
            model=folder / "model.keras",
            test=str(folder / "test.npz"),
            positive=case.positive,
            budget="quick",
            seed=seed,
            title=case.title,
            command=command,
        )
        result = running.run(plan, quiet=quiet)
        reports.append(running.write_result(result, folder))
        if not quiet:
            say(running.summary(result) + "\n")
    if not quiet:
        say("Reports, to open in a browser:\n" + "\n".join(f"  {report}" for report in reports))
    return 0


def _cases(seed: int) -> tuple[_Case, _Case]:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    train, test = train_test_split(np.arange(len(digits)), test_size=900, stratify=digits, random_state=0)
    healthy = _Case(
        folder="healthy",
        title="Handwritten digits, healthy model",
        positive=None,
        class_names=tuple(str(digit) for digit in range(10)),
        train=_shifted(images[train], digits[train]),
        test=(images[test], digits[test]),
    )
    rng = np.random.default_rng(seed)
    name = f"digit {_RARE_DIGIT}"

    def few(items: Array, positives: int) -> tuple[Array, Array]:
        is_rare = digits[items] == _RARE_DIGIT
        kept = np.sort(np.concatenate([rng.choice(items[is_rare], positives, replace=False), items[~is_rare]]))
        return images[kept], (digits[kept] == _RARE_DIGIT).astype(np.int64)

    rare = _Case(
        folder="accuracy-paradox",
        title="Is it an eight? Rare class, too much pooling",
        positive=name,
        class_names=("another digit", name),
        train=few(train, 10),
        test=few(test, 40),
    )
    return healthy, rare


def _healthy_model(case: _Case, seed: int) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(len(case.class_names), activation="softmax"),
        ],
        name="healthy_digits",
    )
    epochs, batch_size = 15, 64
    steps = epochs * -(-len(case.train[1]) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(*case.train, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def _over_pooled_model(case: _Case, seed: int) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(4),
            layers.Conv2D(24, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="over_pooled_eights",
    )
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    model.fit(*case.train, epochs=100, batch_size=64, verbose=0)
    return model


def _shifted(images: Array, labels: Array) -> tuple[Array, Array]:
    """The images and their copies shifted by one pixel each way: 898 digits alone leave the model unsteady."""
    import numpy as np

    moves = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    return np.concatenate([np.roll(images, move, axis=(1, 2)) for move in moves]), np.tile(labels, len(moves))


def _save(path: Path, case: _Case) -> None:
    import io

    import numpy as np

    from poolaudit.store.atomic import write_atomically

    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=case.test[0], y=case.test[1], class_names=np.array(case.class_names))
    write_atomically(path, buffer.getvalue())


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        say(text, err=True)
