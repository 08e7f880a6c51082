"""Variants: one pooling decision of a model changed, at one site, at several, or at all."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from poolaudit.ablation.locate import LocatedSite, locate, site_named
from poolaudit.ablation.refusals import IdlePooling, RefusedAction
from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.evidence.geometry import PoolingSite
from poolaudit.registry import Registry

ALL, HEAD = "all", "head"
Option = bool | int | float | str
_ACTION = re.compile(r"(?P<action>[A-Za-z_]\w*)(\((?P<options>[^()]*)\))?")

# A replacement layer, or several to be tried in this order until one fits the model.
Replacement = Any
ActionFunction = Callable[..., Replacement]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Variant:
    """A model with one pooling decision changed.

    Attributes:
        name: "average@pool2", "blur@all", "stride1@pool1+pool2", "blur(filter_size=5)@pool2", "head:global_max".
        action: What is done at the sites; a name of `ACTIONS`.
        sites: Names of pooling sites; ("all",) for every site where the action applies, ("head",) for the layer that
            ends the spatial part: the last global pooling, or else the last Flatten.
        options: Keyword arguments of the action, by name.
    """

    name: str
    action: str
    sites: tuple[str, ...]
    options: tuple[tuple[str, Option], ...] = ()


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """A variant that makes no sense for this model, and why.

    Attributes:
        pools_nothing: The pooling at its site does nothing to begin with.
    """

    name: str
    reason: str
    pools_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What a variant does at a site.

    Attributes:
        name: First part of a variant's name.
        replace: Maps a `PoolingSite` (and options) to a Keras layer or several candidates; with `together`, a tuple
            of sites to a mapping from site name to layer. Raises RefusedAction with the reason where it does not
            apply.
        together: Whether it decides over all sites at once.
        places: "windowed" pooling, "whole" (global pooling and Flatten) or "any": where it is proposed.
        listed: Whether `applicable_variants` proposes it.
        untrained: Whether the layer it puts in tells nothing before it is trained.
    """

    name: str
    replace: ActionFunction
    together: bool = False
    places: str = "any"
    listed: bool = True
    untrained: bool = False

    def belongs_at(self, site: PoolingSite) -> bool:
        whole = site.kind.startswith("global") or site.kind == "flatten"
        return self.places == "any" or (self.places == "whole") == whole


ACTIONS: Registry[Action] = Registry("action of a variant")


def variant(
    name: str, *, together: bool = False, places: str = "any", listed: bool = True, untrained: bool = False
) -> Callable[[Function], Function]:
    """Registers a function as an action, so that `name@site` is a variant.

    The function takes a `PoolingSite` and returns the Keras layer to put in its place; name and dtype policy are set
    for it.

    >>> from poolaudit.ablation.variants import variant
    >>> @variant("no_overlap")
    ... def no_overlap(site):
    ...     import keras
    ...     return keras.layers.MaxPooling2D(site.strides)
    """

    def register(function: Function) -> Function:
        ACTIONS.register(name, Action(name, function, together, places, listed, untrained))
        return function

    return register


def parse_variant(text: str) -> Variant:
    """A variant from its name. Sites are checked against a model when it is built.

    Raises:
        InvalidInputError: Not of the form `action@site`, or an unknown action.
    """
    _load_actions()
    text = text.strip()
    sites: tuple[str, ...]
    if text.startswith(f"{HEAD}:"):
        action, sites = text.removeprefix(f"{HEAD}:"), (HEAD,)
    else:
        action, at, named = text.partition("@")
        sites = tuple(named.split("+"))
        if not at or not all(sites):
            raise InvalidInputError(
                f"{text!r} names no variant",
                "action@site, action@site+site, action@all or head:action",
                "For example blur@all",
            )
    match = _ACTION.fullmatch(action)
    if match is None:
        raise InvalidInputError(f"{action!r} names no action", ", ".join(ACTIONS.names()))
    ACTIONS.get(match["action"])
    return Variant(text, match["action"], sites, _options(match["options"], text))


def applicable_variants(
    model: Any,
    *,
    groups: Sequence[str] = ("each", ALL),
    pairs: bool = False,
    actions: Iterable[str] | None = None,
    input_shape: tuple[int | None, ...] | None = None,
) -> tuple[Variant | NotApplicable, ...]:
    """The variants that make sense for a model, and those that do not, with the reason.

    Whether the rest of the model bears the change is seen when the variant is built.

    Args:
        model: A `keras.Model`.
        groups: "each" for one site at a time, "all" for all sites together (and the sweep of total downsampling).
        pairs: Also every pair of sites.
        actions: Names of the actions to consider; None takes all that are listed.
        input_shape: With batch, for a model that states none.
    """
    _load_actions()
    for group in groups:
        if group not in ("each", ALL):
            raise InvalidInputError(f"The group of variants is {group!r}", "'each' and 'all'")
    located = locate(model, input_shape)
    chosen = [ACTIONS.get(name) for name in actions] if actions is not None else [a for a in ACTIONS if a.listed]
    single = [action for action in chosen if not action.together]
    fitting: dict[str, list[str]] = {action.name: [] for action in single}
    found: list[Variant | NotApplicable] = []
    for entry in located:
        if entry.owner is None:
            if "each" in groups:
                found.append(NotApplicable(f"any@{entry.site.name}", _code(entry)))
            continue
        for action in single:
            if not action.belongs_at(entry.site):
                continue
            # A layer may be called "all"; its first call says so.
            name = f"{entry.site.name}@1" if entry.site.name in (ALL, HEAD) else entry.site.name
            candidate = Variant(f"{action.name}@{name}", action.name, (name,))
            try:
                replacements_for(candidate, located)
            except RefusedAction as refusal:
                if "each" in groups:
                    found.append(NotApplicable(candidate.name, str(refusal), isinstance(refusal, IdlePooling)))
                continue
            fitting[action.name].append(name)
            if "each" in groups:
                found.append(candidate)
    if pairs:
        found += [
            Variant(f"{name}@{first}+{second}", name, (first, second))
            for name, sites in fitting.items()
            for first, second in itertools.combinations(sites, 2)
        ]
    if ALL in groups:
        found += [Variant(f"{name}@{ALL}", name, (ALL,)) for name, sites in fitting.items() if len(sites) > 1]
        found += [_together(action, located) for action in chosen if action.together]
    return tuple(found)


def replacements_at(site: PoolingSite, actions: Sequence[str] | None = None) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Name of each action that applies at one site, with the layers to try there, the preferred one first.

    Args:
        site: A site of any model; where it stands among others plays no part.
        actions: Names of the actions to consider; None takes all that are listed.

    Raises:
        InvalidInputError: An unknown action.
    """
    _load_actions()
    chosen = [ACTIONS.get(name) for name in actions] if actions is not None else [a for a in ACTIONS if a.listed]
    made: list[tuple[str, tuple[Any, ...]]] = []
    for action in chosen:
        if action.together or not action.belongs_at(site):
            continue
        try:
            layers = _candidates(_called(action, site, {}), Variant(action.name, action.name, (site.name,)))
        except RefusedAction:
            continue
        made.append((action.name, layers))
    return tuple(made)


def replacements_for(
    wanted: Variant, located: Sequence[LocatedSite]
) -> tuple[tuple[LocatedSite, tuple[Any, ...]], ...]:
    """The sites a variant changes, each with the layers to try there, the preferred one first.

    Raises:
        RefusedAction: The action does not apply; the text is the reason.
        InvalidInputError: An unknown action or site.
    """
    _load_actions()
    action = ACTIONS.get(wanted.action)
    entries = _entries(wanted, located)
    options: Mapping[str, Option] = dict(wanted.options)
    if action.together:
        entries = tuple(entry for entry in entries if entry.site.kind in ("max", "average"))
        hidden = [entry.site.name for entry in entries if entry.owner is None]
        if hidden:
            raise RefusedAction(f"the pooling at {hidden[0]!r} is code inside something larger, so its stride stays")
        decided = action.replace(tuple(entry.site for entry in entries), **options)
        return tuple((e, _candidates(decided[e.site.name], wanted)) for e in entries if e.site.name in decided)
    made: list[tuple[LocatedSite, tuple[Any, ...]]] = []
    refusals: list[RefusedAction] = []
    for entry in entries:
        try:
            if entry.owner is None:
                raise RefusedAction(_code(entry))
            made.append((entry, _candidates(_called(action, entry.site, options), wanted)))
        except RefusedAction as refusal:
            if wanted.sites != (ALL,):
                if len(entries) > 1:  # the other sites might well change
                    raise RefusedAction(str(refusal)) from refusal
                raise
            refusals.append(refusal)
    if not made:
        told = [refusal for refusal in refusals if not isinstance(refusal, IdlePooling)] or refusals
        raise told[0] if told else RefusedAction("the model has no pooling site")
    return tuple(made)


def _called(action: Action, site: PoolingSite, options: Mapping[str, Option]) -> Any:
    parameters = list(inspect.signature(action.replace).parameters.values())[1:]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names = [parameter.name for parameter in parameters]
        for name in options:
            if name not in names:
                allowed = listed(names) if names else "none at all"
                raise InvalidInputError(
                    f"The options {dict(options)} of {action.name!r} do not fit: it has no option {name!r}",
                    allowed,
                    did_you_mean(name, names),
                )
    try:
        return action.replace(site, **options)
    except (TypeError, ValueError) as error:
        if options:
            raise InvalidInputError(f"The options {dict(options)} of {action.name!r} do not fit: {error}") from error
        raise


def _code(entry: LocatedSite) -> str:
    return (
        f"the pooling at {entry.site.name!r} is code inside something larger and cannot be exchanged; name a function "
        "that builds the changed model instead"
    )


def _candidates(replacement: Any, wanted: Variant) -> tuple[Any, ...]:
    import keras

    layers = tuple(replacement) if isinstance(replacement, list | tuple) else (replacement,)
    if not layers or not all(isinstance(layer, keras.Layer) for layer in layers):
        raise InvalidInputError(f"The action {wanted.action!r} returned {replacement!r}", "a Keras layer")
    return layers


def _entries(wanted: Variant, located: Sequence[LocatedSite]) -> tuple[LocatedSite, ...]:
    if wanted.sites == (ALL,):
        return tuple(entry for entry in located if entry.site.kind != "flatten")
    if wanted.sites == (HEAD,):
        heads = [entry for entry in located if entry.site.kind.startswith("global")]
        heads = heads or [entry for entry in located if entry.site.kind == "flatten"]
        if not heads:
            raise RefusedAction("the model ends its spatial part neither with global pooling nor with Flatten")
        return (heads[-1],)
    if len(set(wanted.sites)) < len(wanted.sites):
        raise InvalidInputError(f"Variant {wanted.name!r} names a site twice", "each site once")
    return tuple(site_named(name, located) for name in wanted.sites)


def _together(action: Action, located: Sequence[LocatedSite]) -> Variant | NotApplicable:
    candidate = Variant(f"{action.name}@{ALL}", action.name, (ALL,))
    try:
        replacements_for(candidate, located)
    except RefusedAction as refusal:
        return NotApplicable(candidate.name, str(refusal))
    return candidate


def _options(text: str | None, name: str) -> tuple[tuple[str, Option], ...]:
    options: list[tuple[str, Option]] = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value:
            raise InvalidInputError(
                f"{part.strip()!r} in {name!r} is no option", "name=value, for example filter_size=5"
            )
        options.append((key, _value(value)))
    return tuple(options)


def _value(text: str) -> Option:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("'\"")


def _load_actions() -> None:
    from poolaudit.ablation import actions  # noqa: F401 - registers the built-in actions
