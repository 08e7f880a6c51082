"""docs/api.md from the public names and their docstrings: python scripts/api_page.py > docs/api.md"""

from __future__ import annotations

import inspect
import re

import poolaudit


def page() -> str:
    """One section a public name: its kind, its signature, its docstring."""
    parts = [
        "# Public names",
        "",
        "Made from the docstrings by `python scripts/api_page.py`. Every name is an attribute of `poolaudit`; what is",
        "not listed here may change without notice.",
    ]
    for name in poolaudit.__all__:
        if name == "__version__":
            continue
        value = getattr(poolaudit, name)
        parts += ["", f"## {name}", ""]
        if not inspect.isclass(value):
            parts += ["```text", f"{name}{_signature(value)}", "```", ""]
        parts += ["```text", inspect.cleandoc(value.__doc__ or "").strip(), "```"]
    return "\n".join(parts) + "\n"


def _signature(value: object) -> str:
    signature = inspect.signature(value)  # type: ignore[arg-type]
    whole = str(signature)
    if len(whole) >= 90:
        whole = "(\n    " + ",\n    ".join(map(str, signature.parameters.values())) + ",\n)"
    return re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", whole)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the output is the file
