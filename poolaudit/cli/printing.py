"""What the commands say: a user's text reaches the terminal as characters, never as commands to it."""

from __future__ import annotations

import os
import sys
import unicodedata

import typer

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.wording import joined

# Controls, direction marks and other formats, lone surrogates, line separators, unassigned and private characters.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
# Persian, Indic scripts and emoji are written with these.
_JOINERS = "\u200c\u200d"


def say(text: str, *, err: bool = False, newline: bool = True) -> None:
    """Prints `text`, printable, on standard output or standard error.

    Raises:
        InvalidInputError: Standard output cannot be written to, as where its disk is full.
    """
    _write(printable(text), err=err, newline=newline)


def say_data(text: str) -> None:
    """Prints what programs read on standard output, as it is.

    Raises:
        InvalidInputError: As for `say`.
    """
    _write(text, err=False, newline=False)


def _write(text: str, *, err: bool, newline: bool) -> None:
    try:
        typer.echo(text, err=err, nl=newline)
    except BrokenPipeError:
        raise  # who reads has read enough
    except OSError as error:
        if err:
            return  # nobody is left to be told
        # What is still buffered would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InvalidInputError(
            f"Standard output cannot be written to: {error.strerror}",
            "a terminal, a pipe, or a file on a disk with room",
        ) from None


def printable(text: str) -> str:
    """The text with everything that a terminal would obey or hide written as an escape; line breaks stay."""
    text = joined(text)
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\n\t" or character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
