"""Where the pooling is, what the network sees of its input, and what shifts and small features do to it."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate


@dataclass(frozen=True, slots=True)
class PoolingSite:
    """One pooling operation at its place in the model's graph.

    Attributes:
        name: Path in the model, nested parts joined by "/"; a further call of a shared layer has "@2" and so on.
        layer: Class of the layer, or the operation ("tf.nn.max_pool2d", "keras.ops.mean").
        kind: "max", "average", "global_max", "global_average", "adaptive_max", "adaptive_average" or "custom".
        rank: Number of pooled axes: 1, 2 or 3.
        window: Window a pooled axis; None for global kinds and where it is not known.
        strides: Strides a pooled axis; None likewise.
        padding: "valid", "same" or None.
        data_format: "channels_last" or "channels_first"; None where it is not known.
        input_shape: With batch, None for unknown sizes; None where it is not known at all.
        output_shape: Likewise.
        found_by: "layer" (a pooling layer), "operation" (an operation in the functional graph), "trace" (an
            operation in the traced graph), or "heuristic" (a custom layer that looks like pooling).
    """

    name: str
    layer: str
    kind: str
    rank: int
    window: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    padding: str | None
    data_format: str | None
    input_shape: tuple[int | None, ...] | None
    output_shape: tuple[int | None, ...] | None
    found_by: str


@dataclass(frozen=True, slots=True)
class AxisField:
    """What one cell of a layer's output sees of one axis of the input.

    Attributes:
        axis: "length", "height", "width" or "depth".
        size: Receptive field in input cells as if the input had no ends, global operations left out; None where the
            operations have no constant step, or where the layer's output does not run along this axis any more.
        stride: Input cells from one output cell to the next (effective stride); None likewise.
        start: First input cell that output cell 0 sees; negative where it looks into padding. None likewise.
        smallest: Receptive field by the way through the graph that sees least; None likewise.
        widest: Cells from the first to the last that any output cell really sees, borders and global operations
            counted, whatever way they come by.
        whole: Some way leads through an operation over the whole axis (a global pool, a gate, attention).
    """

    axis: str
    size: int | None
    stride: float | None
    start: int | None
    smallest: int | None
    widest: int
    whole: bool


@dataclass(frozen=True, slots=True)
class LayerField:
    """One layer or operation, and the receptive field of its output.

    Attributes:
        name: Path in the model, as for pooling sites.
        layer: Class of the layer or operation.
        kind: "convolution", "pooling" or "other".
        window: Cells from the first to the last tap of the kernel or pooling window, an axis; None for others.
        strides: Likewise.
        input_shape: With batch 1.
        output_shape: Likewise.
        fields: One for each spatial axis of the first input the layer depends on.
        before: The same for what goes into the layer: the smallest way's receptive field an axis; None where not known.
        live: Of a convolution's input, the cells an axis that depend on the model's input at all, so no padding;
            empty for other layers.
        channels_first: Whether the shapes hold the channels on their second axis.
        source: Index of the model's input that `fields` and `before` are about.
        doubt: Why the sets behind these numbers may be too large; None where they are exact.
    """

    name: str
    layer: str
    kind: str
    window: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...]
    fields: tuple[AxisField, ...]
    before: tuple[int | None, ...] = ()
    live: tuple[int, ...] = ()
    channels_first: bool = False
    source: int = 0
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class BlindProof:
    """What happened when the blind cells of inputs were overwritten, on the model itself.

    Attributes:
        inputs: "test items" or "drawn inputs".
        items: How many were tried.
        unchanged: Items whose output stayed the same to the last bit.
        largest_change: Of any output value, as a share of the largest output, among the others; 0.0 where there are
            none.
        neighbours_changed: Items whose output changed when covered cells, as many, were overwritten the same way.
    """

    inputs: str
    items: int
    unchanged: int
    largest_change: float
    neighbours_changed: int


@dataclass(frozen=True, slots=True)
class ReachProof:
    """Whether the cells from which a way leads to the output change it, on the model itself.

    Attributes:
        items: How many items were tried at most: some of the test data, where there are any, and drawn ones.
        silent: Cells without any gradient on these that, overwritten, did not change an output either. All cells that
            a way leads from, where the output answers to nothing.
        silent_where: These cells in words.
        unsettled: Cells that changed an output together with others, and were not tried alone.
    """

    items: int
    silent: int
    silent_where: tuple[str, ...]
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class InputCoverage:
    """Which cells of one input can reach the output, and how many cells of the last map each of them reaches.

    Attributes:
        name: Of the input.
        axes: Names of its spatial axes.
        sizes: Cells an axis.
        cells: Their product.
        blind: Cells that cannot change any output; where `doubt` is set, at least so many.
        blind_where: The blind cells in words, for example "height 223".
        blind_channels: Channels that are never read anywhere, by index.
        last_map: Layer whose output is the last that still has places along the input's axes; None where there is none.
        map_cells: Number of its places.
        reached: How many of these each input cell reaches, thinned to at most 64 cells an axis (the middle plane of
            a volume), row by row; each entry is that of the cell it stands at. Empty where not counted.
        border: Mean of the counts over the cells at the ends of any axis, as a share of the centre's; None where not
            counted. Below 1 the border has less say than the centre.
        doubt: Why more cells may be blind than are counted; None where the map is exact.
        not_counted: Why `reached` is empty; None where it is not.
        proof: None where there is no blind cell, or the model could not be run.
        answers: None where no cell has a way, or the model could not be run.
        blind_variance: Share of the test items' variance, summed over cells, that lies in blind cells; None without
            test items or blind cells. Near 0 where blind cells always look the same.
    """

    name: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    cells: int
    blind: int
    blind_where: tuple[str, ...]
    blind_channels: tuple[int, ...]
    last_map: str | None
    map_cells: int
    reached: tuple[tuple[int, ...], ...]
    border: float | None
    doubt: str | None = None
    not_counted: str | None = None
    proof: BlindProof | None = None
    answers: ReachProof | None = None
    blind_variance: float | None = None

    @property
    def blind_share(self) -> float:
        """In [0, 1]."""
        return self.blind / self.cells


@dataclass(frozen=True, slots=True)
class EffectiveField:
    """How the gradient of the last map's centre spreads over the input (Luo and others 2016), on real items.

    Attributes:
        axis: As in `AxisField`.
        width: Cells along the axis, around its middle, that hold 95 % of the absolute gradient, averaged over items.
        theoretical: The same axis' receptive field; None where not known.
        items: Number of items.
    """

    axis: str
    width: Estimate
    theoretical: int | None
    items: int


@dataclass(frozen=True, slots=True)
class ShiftedRecall:
    """One class's recall when its items are shifted.

    Attributes:
        class_name: The class.
        unshifted: Recall on the items as they are.
        shifted: Mean recall over the shifts.
        loss: Unshifted minus shifted, paired by item.
    """

    class_name: str
    unshifted: Estimate
    shifted: Estimate
    loss: Estimate


@dataclass(frozen=True, slots=True)
class ShiftAtDistance:
    """Agreement of the predicted class at one distance, averaged over axes and directions."""

    cells: int
    consistency: Estimate


@dataclass(frozen=True, slots=True)
class SiteShift:
    """What one pooling site adds to the inconsistency: the same weights with this site alone blurred.

    Attributes:
        site: Name of the pooling site.
        consistency: Of the model with the site replaced by its dense, blurred version.
        gain: That minus the model's own on the same items and shifts, paired by item; None where not measured.
        accuracy_change: Accuracy with the site replaced minus the model's own, on the unshifted items.
        reason: Why it was not measured; None where it was.
    """

    site: str
    consistency: Estimate
    gain: Estimate
    accuracy_change: Estimate
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FlipExample:
    """One item whose class changed by a shift.

    Attributes:
        item: Index in the test split.
        true_class: As labelled.
        before: Class as predicted for the item.
        after: Class as predicted for the shifted item.
        shift: In words, for example "1 cell along width".
        picture: Base64 text of a small PNG of the item.
        shifted_picture: The same of the shifted item.
    """

    item: int
    true_class: str
    before: str
    after: str
    shift: str
    picture: str
    shifted_picture: str


@dataclass(frozen=True, slots=True)
class ShiftMode:
    """One way of shifting.

    Attributes:
        mode: "crop", "background", "circular" or "zero".
        consistency: Agreement of the predicted class with the unshifted item's, mean over items and shifts; the
            interval is by item.
        stable_items: Share of items whose class no shift changes.
        by_distance: Consistency at each distance.
    """

    mode: str
    consistency: Estimate
    stable_items: Estimate
    by_distance: tuple[ShiftAtDistance, ...]


@dataclass(frozen=True, slots=True)
class ShiftEvidence:
    """What shifts of a few cells do to the predictions.

    Attributes:
        chosen: The first of `modes`; judged, and the one that recall is measured in.
        choice: Why this way of shifting was chosen, in a sentence.
        largest: Largest shift, in cells.
        relative: Largest shift as a share of the shortest shifted axis.
        shifts: Number of shifts of each item.
        items: Items that were shifted.
        recalls: Of each judged class.
        sites: Of each windowed pooling site with a stride.
        examples: Of items whose class changed, at most a few.
    """

    chosen: str
    choice: str
    largest: int
    relative: float
    shifts: int
    items: int
    modes: tuple[ShiftMode, ...]
    recalls: tuple[ShiftedRecall, ...]
    sites: tuple[SiteShift, ...] = ()
    sites_reason: str | None = None
    examples: tuple[FlipExample, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeBin:
    """Items whose feature is from `low` to `high` cells in size, both counted, and how many of them are recognised."""

    low: float
    high: float
    recall: Estimate


@dataclass(frozen=True, slots=True)
class RecallBySize:
    """Recall against the size of the feature that tells the class.

    Attributes:
        source: Where the sizes come from: "column", "mask", "box" or "estimated foreground".
        of: Whose recall: the class of interest, or "all classes" (each item counts by its own class).
        bins: By rising size, each holding about as many items.
        smallest_minus_others: Recall in the first bin minus that of all larger items.
        items: Items with a size.
    """

    source: str
    of: str
    bins: tuple[SizeBin, ...]
    smallest_minus_others: Estimate
    items: int

    def smallest_size_that_meets(self, bar: float) -> float | None:
        """The smallest size from which on every bin's recall is at or above `bar` with its whole interval."""
        meets: float | None = None
        for size_bin in reversed(self.bins):
            if size_bin.recall.low is None or size_bin.recall.low < bar:
                break
            meets = size_bin.low
        return meets


@dataclass(frozen=True, slots=True)
class GeometryEvidence:
    """The pooling sites in order of execution, and what the network sees of its input.

    Attributes:
        sites: Every pooling site that was found.
        not_seen: One sentence for every part of the model whose inside could not be looked at.
        layers: Receptive fields, in order of execution. Empty where `fields_reason` says why.
        last_map: Name of the last layer whose output still has places along the input's axes; None where none has.
        input_sizes: Spatial sizes that all of this was computed for.
        coverage: Of each input of the model.
        bottleneck: Of each spatial axis, the inputs' axes one behind the other, the largest step between neighbouring
            cells of a map that every way to an output passes, for the output where it is least: enlarging a map again
            brings nothing back. Empty where not known.
        bottleneck_doubt: Why some step may have been missed; None where none was.
        averaged_padding: Names of average pools whose input was padded with zeros just before.
        effective: Of each spatial axis; empty where not asked for.
        feature_size: Size of the smallest feature that matters, in cells; None where not known.
        feature_size_source: Where that comes from.
        shift: None where `shift_reason` says why.
        by_size: None where `by_size_reason` says why.
    """

    sites: tuple[PoolingSite, ...]
    not_seen: tuple[str, ...] = ()
    layers: tuple[LayerField, ...] = ()
    fields_reason: str | None = None
    last_map: str | None = None
    input_sizes: tuple[int, ...] = ()
    coverage: tuple[InputCoverage, ...] = ()
    bottleneck: tuple[float, ...] = ()
    bottleneck_doubt: str | None = None
    averaged_padding: tuple[str, ...] = ()
    effective: tuple[EffectiveField, ...] = ()
    feature_size: float | None = None
    feature_size_source: str | None = None
    shift: ShiftEvidence | None = None
    shift_reason: str | None = None
    by_size: RecallBySize | None = None
    by_size_reason: str | None = None
