"""Makes docs/images/report.png from a real audit: the demo's second model, in headless Chromium.

Run from the checkout, with poolaudit installed and a Chromium on the PATH: python scripts/screenshot.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "report.png"


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("no Chromium on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "poolaudit", "demo", "--out", folder, "--quiet"], check=True)
        report = Path(folder) / "accuracy-paradox" / "report.html"
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
                "--window-size=1120,760",
                f"--screenshot={TARGET}",
                report.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
