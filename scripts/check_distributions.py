"""Wheel and sdist hold what they should; the wheel installs into a bare environment and answers there.

python scripts/check_distributions.py FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

NEEDED_IN_WHEEL = (
    "poolaudit/py.typed",
    "poolaudit/cli/main.py",
    "poolaudit/report/templates/report.html",
    "poolaudit/report/templates/report.css",
    "poolaudit/conformance/known_divergences.toml",
)
NEEDED_IN_SDIST = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests/conftest.py", "docs/checks.md")


def check(folder: Path) -> None:
    """Raises SystemExit with what is wrong."""
    (wheel,), (sdist,) = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [name for name in NEEDED_IN_WHEEL if name not in names]
    strange = [name for name in names if not name.startswith(("poolaudit/", "poolaudit-")) or name.endswith(".pyc")]
    with tarfile.open(sdist) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    missing += [f"{name} (sdist)" for name in NEEDED_IN_SDIST if name not in inside]
    if missing or strange:
        raise SystemExit(f"missing: {missing}; not expected: {strange}")
    with tempfile.TemporaryDirectory() as bare:
        venv.create(bare, with_pip=True)
        python = str(Path(bare) / "bin" / "python")
        for command in (
            [python, "-m", "pip", "install", "--quiet", str(wheel)],
            [python, "-m", "pip", "check"],
            [python, "-m", "poolaudit", "--version"],
            [python, "-m", "poolaudit", "explain", "PA201"],
        ):
            subprocess.run(command, check=True, cwd=bare, stdout=subprocess.DEVNULL)
    print(f"{wheel.name}: {len(names)} files; {sdist.name}: {len(inside)}; installed into a bare environment")  # noqa: T201


if __name__ == "__main__":
    check(Path(sys.argv[1]))
