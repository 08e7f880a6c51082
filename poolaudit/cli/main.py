"""The `poolaudit` program: its commands, and how every error becomes an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from poolaudit.cli.printing import say
from poolaudit.errors import PoolauditError
from poolaudit.version import __version__

EXIT_FINDINGS, EXIT_BAD_INPUT, EXIT_CRASHED, EXIT_INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    name="poolaudit",
    help="Audit a Keras classifier with pooling layers before its release.",
    epilog="Exit codes: 0 nothing found, 1 findings or nothing could be checked, 2 bad usage or input, "
    "3 poolaudit crashed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"poolaudit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with the code that the help names."""
    # TensorFlow greets with build and device messages before anyone asked; errors still come through.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    register_commands()
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def register_commands() -> None:
    """Adds every command to `app`, once."""
    from poolaudit.cli import (
        ablate,
        accept,
        apply,
        audit,
        bench,
        check,
        demo,
        diff,
        explain,
        inspect,
        leaks,
        metrics,
        report,
    )

    if not app.registered_commands:
        for module in (
            audit,
            metrics,
            inspect,
            check,
            leaks,
            ablate,
            apply,
            bench,
            report,
            diff,
            accept,
            explain,
            demo,
        ):
            module.register(app)


def _run(arguments: list[str]) -> int:
    try:
        code = app(arguments, standalone_mode=False)
    except PoolauditError as error:
        say(f"poolaudit: {error}", err=True)
        return EXIT_BAD_INPUT
    except MemoryError:
        say("poolaudit: memory ran out. Allowed: fewer items at once, or more memory for this process.", err=True)
        return EXIT_BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        say("poolaudit: interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(getattr(error, "exit_code", None), int) and hasattr(error, "format_message"):
            return _usage_error(error)
        traceback.print_exc()
        say("poolaudit: this is a defect of poolaudit, not of your model; please report it", err=True)
        return EXIT_CRASHED
    if code == EXIT_INTERRUPTED:
        # Typer turns an interrupt into this code and says nothing.
        say("poolaudit: interrupted", err=True)
    return code if isinstance(code, int) else 0


def _usage_error(error: Exception) -> int:
    """Click's own complaint about the command line, with the usage line it knows."""
    context = getattr(error, "ctx", None)
    if context is not None:
        say(context.get_usage(), err=True)
    say(f"poolaudit: {error.format_message()}", err=True)  # type: ignore[attr-defined]
    return EXIT_BAD_INPUT
