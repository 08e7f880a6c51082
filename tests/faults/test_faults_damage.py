"""Files that poolaudit writes and reads again, damaged by a bit, by a cut, or left by another version.

Each is refused with one message or measured again; none gives another answer. Stores of trials stand beside the kills.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poolaudit.ablation.training import _restore, _snapshot
from poolaudit.cli.main import main
from poolaudit.errors import InvalidInputError
from poolaudit.results import AuditResult
from poolaudit.store.evidence_cache import keep, load_kept
from poolaudit.store.results import decode_result, load_result
from poolaudit.testing.cache import ResultCache
from specimens.outcomes import save_overlapping

FLIPS, CUTS = 300, 40


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    save_overlapping(folder / "p.csv", 300)
    with pytest.raises(SystemExit):
        main(["metrics", str(folder / "p.csv"), "--positive", "b", "--out", str(folder / "out"), "--quiet"])
    return folder


def damaged(content: bytes, seed: int) -> Iterator[bytes]:
    """The content with one bit turned over, or cut off somewhere."""
    rng = random.Random(seed)
    for _ in range(FLIPS):
        turned = bytearray(content)
        turned[rng.randrange(len(turned))] ^= 1 << rng.randrange(8)
        yield bytes(turned)
    for _ in range(CUTS):
        yield content[: rng.randrange(len(content) - 1)]


def answers(content: bytes, right: Any, read: Callable[[bytes], Any], seed: int = 0) -> Counter[str]:
    """What damaged contents come to: "refused", "same" or "wrong"; `read` gives None or raises where it refuses."""
    counts: Counter[str] = Counter()
    for bad in damaged(content, seed):
        try:
            answer = read(bad)
        except InvalidInputError:
            answer = None
        counts["refused" if answer is None else "same" if answer == right else "wrong"] += 1
    return counts


def report(capsys: pytest.CaptureFixture[str], what: str, counts: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\n{what}: {counts.total()} damaged, {dict(counts)}")


def test_a_damaged_result_is_refused(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (audited / "out" / "result.json").read_bytes()
    counts = answers(content, decode_result(content), decode_result)
    report(capsys, "result.json", counts)
    assert counts["wrong"] == 0
    assert counts["refused"] > FLIPS / 2


def test_a_result_laid_out_anew_is_whole(audited: Path) -> None:
    """Programs that write JSON anew change spaces, the order of keys, and 1.0 to 1; one changed on purpose says so."""
    content = (audited / "out" / "result.json").read_bytes()
    result, plain = decode_result(content), json.loads(content)

    def plainer(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: plainer(part[key]) for key in sorted(part)}
        if isinstance(part, list):
            return [plainer(entry) for entry in part]
        return int(part) if isinstance(part, float) and part.is_integer() else part

    assert decode_result(json.dumps(plainer(plain)).encode()) == result
    plain["title"] = "another"
    with pytest.raises(InvalidInputError, match="damaged"):
        decode_result(json.dumps(plain).encode())
    del plain["sha256"]
    assert decode_result(json.dumps(plain).encode()).title == "another"


@pytest.mark.parametrize("command", ["report {}", "diff {} whole.json", "diff whole.json {}", "accept {}"])
def test_commands_tell_a_damaged_result_in_one_message(
    command: str, audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = (audited / "out" / "result.json").read_bytes()
    Path("whole.json").write_bytes(content)
    digit = content.index(b'"low": 0.') + len(b'"low": 0.')
    Path("damaged.json").write_bytes(content[:digit] + bytes([content[digit] ^ 1]) + content[digit + 1 :])
    more = ["--reason", "known", "--expires", "2999-01-31"] if command.startswith("accept") else []
    with pytest.raises(SystemExit) as ended:
        main([*command.format("damaged.json").split(), *more])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.count("poolaudit: ") == 1
    assert "'damaged.json' is damaged" in told
    assert not list(Path().glob("*/report.html"))


def test_damaged_evidence_is_measured_again(audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence = load_result(audited / "out").evidence
    keep(tmp_path, "key", evidence)
    file = tmp_path / "key.json"
    content = file.read_bytes()
    assert load_kept(tmp_path, "key", type(evidence)) == evidence

    def read(bad: bytes) -> Any:
        file.write_bytes(bad)
        return load_kept(tmp_path, "key", type(evidence))

    counts = answers(content, evidence, read)
    report(capsys, "evidence cache", counts)
    assert counts["wrong"] == 0
    (tmp_path / "another.json").write_bytes(content)
    assert load_kept(tmp_path, "another", type(evidence)) is None, "kept under another question"
    file.write_bytes(json.dumps(json.loads(content)["kept"]).encode())
    assert load_kept(tmp_path, "key", type(evidence)) is None, "as versions before the seal wrote it"


def test_a_damaged_result_of_a_test_session_is_measured_again(
    audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = load_result(audited / "out")
    ResultCache(tmp_path).put("key", result)
    file = tmp_path / "key.json"
    content = file.read_bytes()

    def read(bad: bytes) -> AuditResult | None:
        file.write_bytes(bad)
        return ResultCache(tmp_path).get("key")

    assert read(content) == result
    counts = answers(content, result, read)
    report(capsys, "results of test sessions", counts)
    assert counts["wrong"] == 0
    assert read(content.replace(b'"schema_version": ', b'"schema_version": 9')) is None


class _Variable:
    def __init__(self, value: Any) -> None:
        self.value, self.shape = np.asarray(value), np.shape(value)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.value

    def assign(self, value: Any) -> None:
        self.value = value


def test_a_damaged_checkpoint_is_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.random((20, 10)), rng.random(10)]
    history = {"loss": [0.5, 0.25]}

    def model(values: list[Any]) -> Any:
        optimizer = SimpleNamespace(built=True, variables=[_Variable(3.0)])
        return SimpleNamespace(variables=[_Variable(value) for value in values], optimizer=optimizer)

    def read(content: bytes) -> Any:
        fresh, found = model([np.zeros((20, 10)), np.zeros(10)]), dict[str, list[float]]()
        epoch = _restore(fresh, content, found)
        return (epoch, found, [v.value.tolist() for v in fresh.variables]) if epoch else None

    content = _snapshot(model(weights), history, 2)
    right = (2, history, [weight.tolist() for weight in weights])
    assert read(content) == right
    counts = answers(content, right, read)
    report(capsys, "checkpoints", counts)
    assert counts["wrong"] == 0
    assert counts["refused"] > FLIPS / 2
