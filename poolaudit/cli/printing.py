"""What the commands say: a user's text reaches the terminal as characters, never as commands to it."""

from __future__ import annotations

import unicodedata

import typer

from poolaudit.evidence.wording import joined

# Controls, direction marks and other formats, lone surrogates, line separators, unassigned and private characters.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
# Persian, Indic scripts and emoji are written with these.
_JOINERS = "\u200c\u200d"


def say(text: str, *, err: bool = False, newline: bool = True) -> None:
    """Prints `text`, printable, on standard output or standard error."""
    typer.echo(printable(text), err=err, nl=newline)


def printable(text: str) -> str:
    """The text with everything that a terminal would obey or hide written as an escape; line breaks stay."""
    text = joined(text)
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\n\t" or character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
