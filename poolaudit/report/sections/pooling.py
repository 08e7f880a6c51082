"""The section on the network's pooling: its sites in order of execution."""

from __future__ import annotations

from poolaudit.evidence.geometry import PoolingSite
from poolaudit.report.blocks import Section, Table, shape_text, sizes_text
from poolaudit.results import AuditResult


def section(result: AuditResult) -> Section | None:
    geometry = result.evidence.geometry
    if geometry is None:
        return None
    return Section("pooling", "Pooling in this model", (_sites(geometry.sites),))


def _sites(sites: tuple[PoolingSite, ...]) -> Table:
    return Table(
        "Pooling sites",
        f"{len(sites)} found, in order of execution."
        if sites
        else "No pooling operation was found in this model; see what could not be looked into.",
        ("Site", "Layer", "Kind", "Window", "Strides", "Padding", "Input shape", "Output shape", "Found by"),
        tuple(
            (
                site.name,
                site.layer,
                site.kind.replace("_", " "),
                sizes_text(site.window),
                sizes_text(site.strides),
                site.padding or "",
                shape_text(site.input_shape),
                shape_text(site.output_shape),
                site.found_by,
            )
            for site in sites
        ),
    )
