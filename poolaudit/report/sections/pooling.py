"""The section on the network's pooling: its sites, what it sees of its input, shifts, feature sizes."""

from __future__ import annotations

from poolaudit.evidence.geometry import (
    AxisField,
    FlipExample,
    GeometryEvidence,
    InputCoverage,
    LayerField,
    PoolingSite,
    RecallBySize,
    ShiftEvidence,
)
from poolaudit.evidence.wording import percent
from poolaudit.report.blocks import (
    Block,
    Exhibit,
    Gallery,
    Note,
    Picture,
    Section,
    Table,
    draw_all,
    estimate_cell,
    estimate_row,
    shape_text,
    sizes_text,
)
from poolaudit.report.charts import geometry as charts
from poolaudit.report.charts.network import network
from poolaudit.results import AuditResult

_LAYERS_SHOWN = 200


def section(result: AuditResult) -> Section | None:
    geometry = result.evidence.geometry
    if geometry is None:
        return None
    return Section(
        "pooling",
        "Pooling in this model",
        (
            *draw_all([("The network", lambda: network(geometry))]),
            _sites(geometry.sites),
            *_coverage(geometry),
            *_shift(geometry),
            *_by_size(geometry, result),
            *_effective(geometry),
            *_fields(geometry),
        ),
    )


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


def _coverage(geometry: GeometryEvidence) -> tuple[Block, ...]:
    if not geometry.coverage:
        return (
            (Note(f"What the network sees is not known: {geometry.fields_reason}."),) if geometry.fields_reason else ()
        )
    exhibits = tuple(exhibit for entry in geometry.coverage if (exhibit := _exhibit(entry)) is not None)
    gallery = Gallery(
        "Coverage of the input",
        "Darker cells reach more places of the last map; red cells reach none. Of a volume, the middle plane.",
        exhibits,
    )
    return (*((gallery,) if exhibits else ()), _coverage_table(geometry.coverage))


def _exhibit(entry: InputCoverage) -> Exhibit | None:
    png = charts.coverage_png(entry)
    if png is None:
        return None
    most = max(max(row) for row in entry.reached)
    alt = (
        f"Coverage of {entry.name}: up to {most} of {entry.map_cells} places of {entry.last_map} a cell; "
        f"{entry.blind} blind cells"
    )
    lines = (
        f"{' × '.join(entry.axes)}, {sizes_text(entry.sizes)}",
        f"Darkest: {most:,} of {entry.map_cells:,} places of {entry.last_map}",
    )
    return Exhibit((Picture(png, alt, entry.name),), lines)


def _coverage_table(coverage: tuple[InputCoverage, ...]) -> Table:
    return Table(
        "What of the input reaches the output",
        "A blind cell has no way to any output. Border against centre: how many places of the last map the cells at "
        "the ends of an axis reach, as a share of what the centre reaches.",
        (
            "Input",
            "Cells",
            "Blind",
            "Where",
            "Channels never read",
            "Border against centre",
            "Proved by overwriting",
            "Other cells, asked of the model",
        ),
        tuple(
            (
                entry.name,
                sizes_text(entry.sizes),
                f"{'at least ' if entry.doubt else ''}{entry.blind:,} ({percent(entry.blind_share)})",
                "; ".join(entry.blind_where) or ("none found" if entry.doubt else "none"),
                ", ".join(str(channel) for channel in entry.blind_channels) or "none",
                entry.not_counted or "" if entry.border is None else percent(entry.border),
                _proof(entry),
                _answers(entry),
            )
            for entry in coverage
        ),
    )


def _answers(entry: InputCoverage) -> str:
    if entry.answers is None:
        return "not known: the output answered to nothing that was tried, or the model could not be run"
    silent = entry.answers.silent
    if silent == 0:
        return "all answered"
    return f"{silent:,} never changed the output: {'; '.join(entry.answers.silent_where)}"


def _proof(entry: InputCoverage) -> str:
    if entry.proof is None:
        return "" if entry.blind == 0 else "not run"
    proof = entry.proof
    return (
        f"output unchanged to the last bit for {proof.unchanged} of {proof.items} {proof.inputs}; changed for "
        f"{proof.neighbours_changed} where neighbours were overwritten"
    )


def _shift(geometry: GeometryEvidence) -> tuple[Block, ...]:
    shift = geometry.shift
    if shift is None:
        return (Note(f"Shifts were not measured: {geometry.shift_reason}."),) if geometry.shift_reason else ()
    modes = Table(
        "Agreement of the predicted class under shifts",
        f"{shift.items:,} items, {shift.shifts} shifts each, 1 to {shift.largest} cells along each axis. "
        f"{shift.choice} Intervals are by item.",
        ("Way of shifting", "Value", "Interval", "n", "Method"),
        tuple(
            row
            for mode in shift.modes
            for row in (
                estimate_row(f"{mode.mode}, all shifts", mode.consistency),
                estimate_row(f"{mode.mode}, items that no shift changes", mode.stable_items),
                *(
                    estimate_row(f"{mode.mode}, by {at.cells} {'cell' if at.cells == 1 else 'cells'}", at.consistency)
                    for at in mode.by_distance
                    if len(mode.by_distance) > 1
                ),
            )
        ),
        "numbers",
    )
    return (
        *draw_all([("Consistency by distance", lambda: charts.shift_consistency(shift))]),
        modes,
        Table(
            "Recall under shifts",
            f"By {shift.chosen} shifts. The loss is paired by item; its interval holds for all classes together.",
            ("Class", "Recall as it is", "Recall under shifts", "Lost"),
            tuple(
                (r.class_name, estimate_cell(r.unshifted), estimate_cell(r.shifted), estimate_cell(r.loss))
                for r in shift.recalls
            ),
            "numbers",
        ),
        *_shift_sites(shift),
        *((_examples(shift.examples),) if shift.examples else ()),
    )


def _shift_sites(shift: ShiftEvidence) -> tuple[Block, ...]:
    if not shift.sites:
        return (Note(f"Which pooling causes the inconsistency was not measured: {shift.sites_reason}."),)
    return (
        Table(
            "How much of the inconsistency each pooling site causes",
            "Each site alone was replaced by its dense, blurred version, with all weights as they are. The network was "
            "not trained for it, so a gain that costs much accuracy says little.",
            ("Site", "Consistency then", "Gained", "Accuracy changed by"),
            tuple(
                (site.site, "not measured", site.reason, "")
                if site.reason is not None
                else (
                    site.site,
                    estimate_cell(site.consistency),
                    estimate_cell(site.gain),
                    estimate_cell(site.accuracy_change),
                )
                for site in shift.sites
            ),
            "numbers",
        ),
    )


def _examples(examples: tuple[FlipExample, ...]) -> Gallery:
    return Gallery(
        "Items whose class a shift changes",
        "Each by the smallest shift that does it.",
        tuple(
            Exhibit(
                (
                    Picture(e.picture, f"Item {e.item} as it is, predicted {e.before}", f"as it is: {e.before}"),
                    Picture(e.shifted_picture, f"Item {e.item} shifted, predicted {e.after}", f"shifted: {e.after}"),
                ),
                (f"Item {e.item}, labelled {e.true_class}", e.shift),
            )
            for e in examples
        ),
    )


def _by_size(geometry: GeometryEvidence, result: AuditResult) -> tuple[Block, ...]:
    measured = geometry.by_size
    if measured is None:
        reason = geometry.by_size_reason
        return (Note(f"Recall by feature size was not measured: {reason}."),) if reason else ()
    return (
        *draw_all([("Recall by feature size", lambda: charts.recall_by_size(measured, result.policy))]),
        _size_table(measured),
    )


def _size_table(measured: RecallBySize) -> Table:
    return Table(
        "Recall by feature size",
        f"Of {measured.of}, {measured.items:,} items. Sizes in input cells, from: {measured.source}.",
        ("Size", "Value", "Interval", "n", "Method"),
        (
            *(estimate_row(f"{size.low:.3g} to {size.high:.3g}", size.recall) for size in measured.bins),
            estimate_row("smallest minus larger", measured.smallest_minus_others),
        ),
        "numbers",
    )


def _effective(geometry: GeometryEvidence) -> tuple[Block, ...]:
    if not geometry.effective:
        return ()
    return (
        Table(
            "Effective receptive field of the last map",
            "Cells that hold 95 % of the absolute gradient of its centre, on test items (Luo and others 2016).",
            ("Axis", "Theoretical", "Effective", "n"),
            tuple(
                (
                    field.axis,
                    "not known" if field.theoretical is None else str(field.theoretical),
                    estimate_cell(field.width, as_percent=False),
                    str(field.items),
                )
                for field in geometry.effective
            ),
            "numbers",
        ),
    )


def _fields(geometry: GeometryEvidence) -> tuple[Block, ...]:
    if not geometry.layers:
        return ()
    listed = [layer for layer in geometry.layers if layer.kind != "other" or layer.name == geometry.last_map]
    shown = listed[:_LAYERS_SHOWN]
    note = "Receptive field, effective stride and start as if the input had no ends; in input cells."
    if any(field.whole for layer in shown for field in layer.fields):
        note += " '+ all': a global operation on the way sees the whole axis besides."
    if len(listed) > len(shown):
        note += f" {len(listed) - len(shown)} further layers stand in result.json."
    return (
        Table(
            "Receptive fields",
            note,
            ("Layer", "Class", "Window", "Strides", "Output shape", "Receptive field", "Stride", "Start"),
            tuple(_field_row(layer) for layer in shown),
            "numbers",
        ),
    )


def _field_row(layer: LayerField) -> tuple[str, ...]:
    return (
        layer.name,
        layer.layer,
        sizes_text(layer.window),
        sizes_text(layer.strides),
        shape_text(layer.output_shape),
        " × ".join(_seen(field) for field in layer.fields),
        " × ".join("–" if field.stride is None else f"{field.stride:g}" for field in layer.fields),
        " × ".join("–" if field.start is None else str(field.start) for field in layer.fields),
    )


def _seen(field: AxisField) -> str:
    if field.size is None:
        return "whole" if field.whole else f"{field.widest} (no constant step)"
    return f"{field.size} + all" if field.whole else str(field.size)
