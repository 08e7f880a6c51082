"""The `@layer_property` decorator and the registry behind it."""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import poolaudit.conformance.properties
from poolaudit.configuration import KINDS
from poolaudit.conformance.case import Case
from poolaudit.findings import CheckDoc, document_check
from poolaudit.registry import Registry
from poolaudit.strategies import FINITE_INPUTS

if TYPE_CHECKING:
    from poolaudit.conformance.layer_under_test import LayerUnderTest
    from poolaudit.conformance.loading import LoadedSubject
    from poolaudit.conformance.subjects import Subject

Cost = Literal["cheap", "medium", "trace", "compile", "slow"]
Statement = Callable[["LayerUnderTest", Case], None]
Corners = Callable[["LoadedSubject", str], Sequence[Case]]
MODES = ("eager", "graph", "graph_unknown_sizes", "xla")


@dataclass(frozen=True, slots=True)
class LayerProperty:
    """A documented statement that every right layer of certain kinds satisfies.

    Attributes:
        traits: What the kind must have; see `poolaudit.configuration.TRAITS`.
        layouts: Layouts of the windows for which it is defined; empty means all.
        modes: Ways of running it is tried in, the most telling first.
        dtypes: Dtypes it is tried in, the most telling first.
        data: Kinds of input it is tried on.
        needs_keras_layer: False where a plain function can be tried too.
        needs_argument: A constructor argument without which it says nothing, for example `data_format`.
        paddings: Paddings it is defined for.
        cases: "valid" for drawn configurations, "invalid" for those a layer must refuse, "long" for long windows.
        largest_axis: Longest spatial axis; None leaves it to the strategy.
        batches: Batch sizes to draw from.
        builtins: Pattern of the framework's own layers and operations that it is about; empty means any layer.
        corners: Makes the cases to try instead of drawing them; nothing is shrunk then.
        hang_seconds: Time limit of one example where it is other than the profile's.
    """

    name: str
    doc: CheckDoc
    statement: Statement
    traits: frozenset[str]
    layouts: tuple[str, ...]
    modes: tuple[str, ...]
    dtypes: tuple[str, ...]
    data: tuple[str, ...]
    cost: Cost
    needs_keras_layer: bool
    needs_argument: str | None
    paddings: tuple[str, ...]
    cases: str
    largest_axis: int | None
    batches: tuple[int, ...]
    builtins: str = ""
    corners: Corners | None = None
    hang_seconds: float | None = None

    def concerns(self, subject: Subject) -> bool:
        """Whether it is about this layer: statements about the framework are not demanded of anyone else."""
        return not self.builtins or (subject.builtin and fnmatch.fnmatchcase(subject.name, self.builtins))

    def holds_for(self, kind: str) -> bool:
        """Whether the statement is one about this kind of pooling."""
        known = KINDS.get(kind)
        return known.traits >= self.traits and (
            not self.layouts or known.layout in self.layouts or known.layout == "any"
        )

    @property
    def universal(self) -> bool:
        """Whether it holds for a layer of which nothing is known."""
        return self.holds_for("unknown")


_REGISTRY: Registry[LayerProperty] = Registry("property")


def layer_property(
    code: str,
    *,
    traits: str = "",
    layouts: tuple[str, ...] = (),
    modes: tuple[str, ...] = ("eager",),
    dtypes: tuple[str, ...] = ("float32",),
    data: tuple[str, ...] = FINITE_INPUTS,
    cost: Cost = "cheap",
    needs_keras_layer: bool = False,
    needs_argument: str | None = None,
    paddings: tuple[str, ...] = ("valid", "same"),
    cases: str = "valid",
    largest_axis: int | None = None,
    batches: tuple[int, ...] = (2, 1, 3),
    builtins: str = "",
    corners: Corners | None = None,
    hang_seconds: float | None = None,
) -> Callable[[Statement], Statement]:
    """Registers a function as a property under its own name; its docstring is its documentation."""

    def register(statement: Statement) -> Statement:
        name = str(getattr(statement, "__name__", ""))
        _REGISTRY.register(
            name,
            LayerProperty(
                name=name,
                doc=document_check(code, statement),
                statement=statement,
                traits=frozenset(traits.split()),
                layouts=layouts,
                modes=modes,
                dtypes=dtypes,
                data=data,
                cost=cost,
                needs_keras_layer=needs_keras_layer,
                needs_argument=needs_argument,
                paddings=paddings,
                cases=cases,
                largest_axis=largest_axis,
                batches=batches,
                builtins=builtins,
                corners=corners,
                hang_seconds=hang_seconds,
            ),
        )
        return statement

    return register


def all_properties() -> Registry[LayerProperty]:
    """Every property of the catalogue; each file of `properties/` holds one theme."""
    for module in pkgutil.iter_modules(poolaudit.conformance.properties.__path__):
        importlib.import_module(f"poolaudit.conformance.properties.{module.name}")
    return _REGISTRY
