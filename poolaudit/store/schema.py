"""The schema of result.json, made from the types themselves; run as a module it prints docs/result.schema.json."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from poolaudit.results import SCHEMA_VERSION, AuditResult
from poolaudit.store.results import DIGEST


def result_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a stored result; descriptions come from the docstrings."""
    schema = _settled(msgspec.json.schema(AuditResult))
    schema["$defs"]["AuditResult"]["properties"][DIGEST] = {
        "type": "string",
        "description": "SHA-256 of the rest, by which poolaudit knows a damaged file; a program that changes the file "
        "leaves it out.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"poolaudit result, schema version {SCHEMA_VERSION}",
        **schema,
    }


def _settled(part: Any) -> Any:
    """Alternatives, which msgspec lists as they come out of a set, in one order; descriptions without indentation."""
    if isinstance(part, dict):
        inner = {key: _settled(value) for key, value in part.items()}
        if isinstance(inner.get("description"), str):
            # Python 3.13 takes the indentation off docstrings, earlier ones keep it.
            inner["description"] = inspect.cleandoc(inner["description"])
        return {**inner, "anyOf": sorted(inner["anyOf"], key=json.dumps)} if "anyOf" in inner else inner
    return [_settled(entry) for entry in part] if isinstance(part, list | tuple) else part


def encode_schema() -> str:
    """The schema as it stands in docs/result.schema.json."""
    return json.dumps(result_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(encode_schema(), end="")  # noqa: T201 - the output is the file
