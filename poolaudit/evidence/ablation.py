"""What changing the pooling does to the model: variants, trials, effects and decisions."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate

# Of a trial that learned the other way round: it ranks, and so is no chance.
BACKWARDS = "its scores rank the class of interest backwards (ROC AUC below 0.5 with its whole interval)"


@dataclass(frozen=True, slots=True)
class Effect:
    """Variant minus baseline on one metric, paired by test item and, where trained, by seed.

    Attributes:
        metric: "recall_at_matched_precision", "average_precision", "recall", "precision", "f1", "accuracy",
            "matthews_correlation" or "log_loss".
        estimate: With an interval at the policy's confidence, for this one comparison.
        seeds: Pairs of seeds behind it; 0 for a model with fixed weights.
    """

    metric: str
    estimate: Estimate
    seeds: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The decision on one variant, on the primary metric, corrected for all variants and looks.

    Attributes:
        decision: "better", "worse", "equivalent" or "undecided".
        low: Lower end of the corrected interval that the decision rests on: for an equivalence the one that lies within
            the margin, else the one that holds no difference or not; None where there is no interval.
        high: Its upper end.
        beyond_low: Lower end of the interval that must lie above the smallest effect that matters before the variant
            is said to gain more than that.
        beyond_high: Its upper end.
        seeds: Seeds trained when the decision was made.
        pairs: Pairs of seeds that learned in both arms.
        stopped: "decided", "futile" (further seeds of the plan would hardly decide it), "planned" (all planned seeds
            were trained), "budget" (time ran out), "moot" (a control whose variant shows no gain to explain) or ""
            where nothing was trained, or where trials were measured again and the seeds that were trained leave it
            open.
        seeds_to_decide: Seeds in all at which the same difference would be decided; None where it is decided, or where
            no number of seeds would.
        items_to_decide: Items of the class that would decide it where seeds would not.
        detectable: The smallest true difference that would be shown with 80 % power; None where not known.
        never_learns: "baseline" or "variant" where that arm is alive but learns with no seed and the other does.
        reason: Why it is undecided, in words; empty otherwise.
    """

    decision: str
    low: float | None = None
    high: float | None = None
    beyond_low: float | None = None
    beyond_high: float | None = None
    seeds: int = 0
    pairs: int = 0
    stopped: str = ""
    seeds_to_decide: int | None = None
    items_to_decide: int | None = None
    detectable: float | None = None
    never_learns: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ArmEvidence:
    """The baseline, a variant, or the parameter-matched control of one.

    Attributes:
        name: "baseline", or the variant's text such as "weaker@stem".
        action: What is done at the sites; "none" for the baseline.
        sites: Names of the pooling sites that are changed.
        direction: "weaker", "stronger" or "same" amount of downsampling than the baseline, "unknown", or "baseline".
        kind: "max", "average" or "" where a windowed or global pooling is of another kind than the baseline's.
        downsampling: Total factor along each pooled axis, largest axis; None where not known.
        is_control: The parameter-matched control.
        control_of: Name of its variant; empty for others.
        head_resized: A layer behind the pooling takes inputs of another width than in the baseline.
        parameters: Values in all weights.
        flops: Of one item; None where not known.
        latency_milliseconds: Of one item in a batch; None where not measured.
        unavailable: Why there is no such model or why it ablates nothing; empty where there is.
        unchanged: The graph or every output equals the baseline's.
        trained: Trials in the store.
        learned: Of them, those that learned.
        collapsed: Alive, but ranking no better than chance.
        dead: The same answer for every item.
        diverged: Ended in NaN.
        failed: Could not be trained.
        comparison: None for the baseline and where nothing was trained.
        effects: From trained trials, one a metric.
        swap: From exchanging the pooling under the trained weights: sensitivity, not an answer.
        recalibrated: After re-estimating statistics and a short fine-tuning.
        notes: Sentences on what else was changed.
    """

    name: str
    action: str = "none"
    sites: tuple[str, ...] = ()
    direction: str = "unknown"
    kind: str = ""
    downsampling: float | None = None
    is_control: bool = False
    control_of: str = ""
    head_resized: bool = False
    parameters: int | None = None
    flops: int | None = None
    latency_milliseconds: float | None = None
    unavailable: str = ""
    unchanged: bool = False
    trained: int = 0
    learned: int = 0
    collapsed: int = 0
    dead: int = 0
    diverged: int = 0
    failed: int = 0
    comparison: Comparison | None = None
    effects: tuple[Effect, ...] = ()
    swap: tuple[Effect, ...] = ()
    recalibrated: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()

    def effect(self, metric: str) -> Effect | None:
        return next((effect for effect in self.effects if effect.metric == metric), None)


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial, for the reader to see each seed.

    Attributes:
        arm: Name of the variant, with " (control)" for a control.
        state: "learned", "collapsed", "dead", "diverged" or "failed".
        reason: Why it did not learn, or `BACKWARDS`; else empty.
        metrics: Pairs of metric and value; None where it is not defined.
    """

    arm: str
    seed: int
    state: str
    reason: str
    seconds: float
    metrics: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """How the trials were trained.

    Attributes:
        statement: Optimizer, loss, epochs and batch size in one sentence, with what was a default.
        items: Training items.
        validation_items: Items the thresholds were chosen on; 0 without any.
        validation_from: Where they came from.
    """

    statement: str
    items: int
    validation_items: int
    validation_from: str


@dataclass(frozen=True, slots=True)
class AblationEvidence:
    """The ablation.

    Attributes:
        depth: "swap" (nothing was trained) or "retrained".
        positive: Class of interest; None where metrics are averaged over all classes.
        targets: The classes that recall and precision are averaged over.
        primary: The metric that decides.
        matched_precision: Precision that thresholds chosen on validation data keep; None where not used.
        smallest_effect: Margin of equivalence, and what a gain must exceed to matter.
        family_wise_error: Over all variants and looks.
        test_items: Items of the test split.
        support: Of them, of the classes of interest.
        planned_seeds: Seeds a variant gets at most.
        hypotheses: Comparisons that share the error.
        trainings: Trials that were trained for it or found in the store.
        full_grid: Trials that a full grid would have trained.
        stopped: "decided" (every comparison is), "planned" (some are not, and the seeds of the plan are trained or
            would hardly decide them) or "budget" (time ran out); "" without training.
        detectable_before: Smallest difference that the plan was expected to show with 80 % power.
        shipped: Metrics of the model as shipped, pairs of metric and value; empty where it brings no weights.
        baseline: The baseline arm.
        arms: Variants and controls.
        trials: Every trial.
        training: None where nothing was trained.
        seconds: Spent in trials.
        notes: Sentences the report shows.
    """

    depth: str
    positive: str | None
    targets: tuple[str, ...]
    primary: str
    matched_precision: float | None
    smallest_effect: float
    family_wise_error: float
    test_items: int
    support: int
    planned_seeds: int
    hypotheses: int
    trainings: int
    full_grid: int
    stopped: str
    detectable_before: float | None
    shipped: tuple[tuple[str, float | None], ...]
    baseline: ArmEvidence
    arms: tuple[ArmEvidence, ...]
    trials: tuple[TrialRow, ...]
    training: TrainingFacts | None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[ArmEvidence, ...]:
        """Without controls."""
        return tuple(arm for arm in self.arms if not arm.is_control)

    def control_for(self, name: str) -> ArmEvidence | None:
        return next((arm for arm in self.arms if arm.control_of == name), None)
