"""A small subject to audit, and the process that audits are started from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_runs import Nursery, make_subject, nursery


@pytest.fixture(scope="session")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subject")
    make_subject(folder)
    return folder


@pytest.fixture(scope="session")
def parent() -> Iterator[Nursery]:
    with nursery() as running:
        yield running
