"""Items that belong together: copies of one original, never chained, and items of one group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Pairs of items that show the same, over all splits laid end to end.

    Attributes:
        first, second: (m,) items.
        scores: (m,) how sure each pair is; infinite where the content is the same.
    """

    first: Array
    second: Array
    scores: Array


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What must stay in one split.

    Attributes:
        unit: (n,) number of the unit of each item, from 0.
        loose: (m, 2) linked items of different units.
    """

    unit: Array
    loose: Array


def join(links: Sequence[Links]) -> Links:
    """All of them; no pair at all where there are none."""
    empty = np.zeros(0, np.int64)
    return Links(
        np.concatenate([empty, *(link.first for link in links)]),
        np.concatenate([empty, *(link.second for link in links)]),
        np.concatenate([np.zeros(0), *(link.scores for link in links)]),
    )


def units_of(n: int, links: Links, groups: Sequence[str | None] | None) -> Units:
    """Stars around originals, joined where they share a group.

    The surest pairs come first: an item without a star joins that of its partner if the partner is a centre. Two items
    that only share a neighbour are never joined, so a slow drift over a hundred frames does not become one cluster;
    the pairs that this cuts are loose, and whoever divides the items has to leave one of the two out.

    Args:
        n: Items of all splits.
        groups: (n,) names, None where an item has none.
    """
    same = np.isinf(links.scores)
    content = _components(n, links.first[same], links.second[same])
    star = _stars(content, links, ~same)[content]
    known, numbers, codes = [], [], dict[str, int]()
    for at, group in enumerate(groups or ()):
        if group is not None:
            known.append(at)
            numbers.append(codes.setdefault(group, len(codes)))
    # Groups are numbered behind the stars.
    held = _components(n + len(codes), star[np.array(known, np.int64)], n + np.array(numbers, np.int64))
    _, unit = np.unique(held[star], return_inverse=True)
    apart = unit[links.first] != unit[links.second]
    return Units(unit, np.stack([links.first[apart], links.second[apart]], axis=1))


def _components(n: int, first: Array, second: Array) -> Array:
    graph = sparse.coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _stars(content: Array, links: Links, near: Array) -> Array:
    """(contents,) the centre of each content; its own number where it has no star."""
    n = int(content.max(initial=-1)) + 1
    centre = np.arange(n)
    has_members = np.zeros(n, np.bool_)
    a, b = content[links.first[near]], content[links.second[near]]
    for at in np.argsort(-links.scores[near], kind="stable"):
        member, other = int(a[at]), int(b[at])
        for one, two in ((member, other), (other, member)):
            if centre[one] == one and not has_members[one] and centre[two] == two and one != two:
                centre[one] = two
                has_members[two] = True
                break
    return centre
