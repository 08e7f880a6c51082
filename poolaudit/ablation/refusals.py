"""Why a variant cannot be had: an error with a reason, and never an effect of zero."""

from __future__ import annotations

from poolaudit.errors import PoolauditError


class VariantError(PoolauditError):
    """A variant that gives no evidence.

    Attributes:
        variant: Name of the variant.
        reason: One sentence.
    """

    def __init__(self, variant: str, reason: str) -> None:
        self.variant, self.reason = variant, reason
        super().__init__(f"Variant {variant!r}: {reason}")

    def __reduce__(self) -> tuple[type[VariantError], tuple[str, str]]:
        return type(self), (self.variant, self.reason)  # crosses process borders


class VariantImpossible(VariantError):
    """The model cannot be changed in this way; the reason says where it does not fit."""


class VariantUnchanged(VariantError):
    """The change was made and the model is the same as before, in its graph or on the inputs."""


class RefusedAction(Exception):
    """Raised by an action that makes no sense at a pooling site; the text is the reason."""


class IdlePooling(RefusedAction):
    """The pooling at the site does nothing, so whatever pools in its stead is the baseline again."""
