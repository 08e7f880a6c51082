"""`package.module:function`: the user's own code, run because the user named it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, did_you_mean

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_reference(text: str) -> bool:
    """Does the text have the form package.module:function?"""
    return _REFERENCE.fullmatch(text) is not None


def call_reference(reference: str) -> Any:
    """What the function returns when called without arguments; modules beside the working directory are found.

    Raises:
        InvalidInputError: The module or function does not exist, is no function, or raises.
    """
    function = _resolve(reference)
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise InvalidInputError(
            f"{reference} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "a function that can be called without arguments and returns data",
        ) from error


def _resolve(reference: str) -> Callable[[], Any]:
    module_name, _, function_name = reference.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InvalidInputError(
            f"{reference}: the module {module_name!r} cannot be imported ({error})",
            "package.module:function, importable from here",
            "Install the package, or start poolaudit in the folder that holds it",
        ) from error
    except (Exception, SystemExit) as error:
        raise InvalidInputError(
            f"{reference}: importing {module_name!r} raised {type(error).__name__}: {error}", "a module that imports"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    function = getattr(module, function_name, None)
    if function is None:
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise InvalidInputError(
            f"{reference}: {module_name!r} has no {function_name!r}", "", did_you_mean(function_name, names)
        )
    if not callable(function):
        raise InvalidInputError(f"{reference} is a {type(function).__name__}", "a function")
    return function  # type: ignore[no-any-return]
