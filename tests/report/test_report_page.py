"""The report: hostile text stays text, every field is shown and documented, one small offline file."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import re
from collections.abc import Sequence
from typing import get_args

import altair as alt
import jinja2
import pytest
from report_examples import HOSTILE, Document, result_of, scored

from poolaudit.outcomes import Verdict
from poolaudit.report import html as html_module
from poolaudit.report.blocks import (
    Badge,
    Block,
    Exhibit,
    Figures,
    Gallery,
    Note,
    Picture,
    Problem,
    Replay,
    Section,
    Slider,
    Table,
)
from poolaudit.report.charts.chart import Chart, legible, render_svg, require_inert
from poolaudit.report.html import render_html
from poolaudit.report.page import Card, Count, Headline, Page, build_page
from poolaudit.results import Evidence
from specimens.outcomes import diagonal, from_confusion, scored_counts


@pytest.fixture(scope="module")
def hostile() -> str:
    return render_html(result_of(scored(len(HOSTILE), 1500, HOSTILE), title=" ".join(HOSTILE)))


def test_hostile_text_adds_no_element_and_no_attribute(hostile: str) -> None:
    tame = render_html(result_of(scored(len(HOSTILE), 1500)))
    ours = Document(tame)
    theirs = Document(hostile)
    assert theirs.elements - {("p", ""), ("code", "")} <= ours.elements
    assert [tag for tag, _ in theirs.elements if tag == "script"] == ["script"], "the page's own, and no other"
    assert not {tag for tag, _ in theirs.elements} & {
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "h5",
    }
    assert not [name for name, _ in theirs.values if name.startswith("on") or name in ("src", "srcdoc", "xlink:href")]
    assert {value for name, value in theirs.values if name == "href"} == {"#findings"}
    assert {value for name, value in theirs.values if name == "style"} <= {
        value for name, value in ours.values if name == "style"
    } | {value for name, value in theirs.values if name == "style" and "url" not in value and "expression" not in value}


def test_hostile_text_is_shown_as_it_is(hostile: str) -> None:
    text = Document(hostile).text
    for name in HOSTILE:
        assert legible(name) in text, ascii(name)
    assert "\0" not in hostile


def test_a_guard_that_can_fail(hostile: str) -> None:
    found = Document(hostile.replace("<main>", "<main><img src=x onerror=alert(1)>"))
    assert ("img", "onerror") in found.elements


def test_nothing_outside_the_file_is_asked_for(hostile: str) -> None:
    tame = render_html(result_of(scored(5, 500), "class 1"))
    without_names = re.sub(r'xmlns(:\w+)?="http://www\.w3\.org/[^"]+"', "", tame)
    assert without_names.count("<script>") == 1
    assert not re.findall(r"https?:|(?<!:)//\w|url\(|@import|<link|<script\s|src=", without_names)
    script = tame[tame.index("<script>") + len("<script>") : tame.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in tame
    assert not re.search(r"fetch|XMLHttp|WebSocket|eval|innerHTML|import\b|Function\(", script)
    assert "default-src 'none'" in hostile


def test_the_same_result_renders_to_the_same_bytes() -> None:
    result = result_of(scored(6, 600))
    assert render_html(result) == render_html(result)


def test_files_stay_small() -> None:
    for result in (result_of(scored(30, 3000)), result_of(scored(2, 1000, sharpness=1.0), "class 1")):
        assert len(render_html(result).encode()) < 300_000


def test_two_hundred_classes_are_shown() -> None:
    page = build_page(result_of(from_confusion(diagonal(200, 5, 0.8))))
    (classes,) = [t for t in blocks_of(page, Table) if t.title == "Metrics by class"]
    assert len(classes.rows) == 200
    assert not blocks_of(page, Problem)
    assert len(render_html(result_of(from_confusion(diagonal(200, 5, 0.8)))).encode()) < 600_000


def blocks_of(page: Page, kind: type[Block]) -> list[Block]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def fields_of(template: str, owner: str) -> set[str]:
    return set(re.findall(rf"\b{owner}\.(\w+)", template))


def templates() -> str:
    return "".join((html_module._template_folder() / f).read_text("utf-8") for f in ("report.html", "blocks.html"))


def test_every_field_of_the_page_is_shown_and_documented() -> None:
    template = templates()
    names = {field.name for field in dataclasses.fields(Page)}
    assert fields_of(template, "page") == names
    documented = re.findall(r"^\s+(\w+): ", (Page.__doc__ or "").split("Attributes:")[1], re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(Page)]
    shown = {
        "card": Card,
        "b": Badge,
        "h": Headline,
        "count": Count,
        "section": Section,
        "t": Table,
        "f": Figures,
        "chart": Chart,
        "g": Gallery,
        "exhibit": Exhibit,
        "picture": Picture,
        "r": Replay,
        "s": Slider,
        "n": Note,
        "p": Problem,
    }
    for owner, kind in shown.items():
        assert fields_of(template, owner) == {field.name for field in dataclasses.fields(kind)}, owner


def test_every_kind_of_block_has_its_macro() -> None:
    template = templates()
    for kind in get_args(Block):
        assert f'"{kind.kind}": {kind.kind}' in template


def test_a_field_the_page_lacks_is_an_error() -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(html_module._template_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
    )
    environment.filters["prose"] = str
    page = build_page(result_of(scored_counts(90, 10, 10, 90), "fraud"))
    whole = {field.name: getattr(page, field.name) for field in dataclasses.fields(Page)}
    template = environment.get_template("report.html")
    ours = {"style": "", "script": "", "script_hash": ""}
    assert "poolaudit" in template.render(page=whole, **ours)
    del whole["verdict_text"]
    with pytest.raises(jinja2.UndefinedError, match="verdict_text"):
        template.render(page=whole, **ours)


def with_sentence(sentence: str) -> str:
    """A report whose first finding and decision say this, everywhere a sentence of a check is shown."""
    result = result_of(scored_counts(90, 10, 10, 90), "fraud")
    first = dataclasses.replace(result.findings[0], summary=sentence, would_change=sentence)
    decision = dataclasses.replace(result.decision, reasons=(sentence,), would_change=(sentence,))
    return render_html(dataclasses.replace(result, findings=(first, *result.findings[1:]), decision=decision))


def test_code_in_a_sentence_is_set_as_code() -> None:
    page = with_sentence("More time (`--minutes`) or <b>`--epochs`</b> for 'it'.")
    assert page.count("More time (<code>--minutes</code>) or &lt;b&gt;<code>--epochs</code>&lt;/b&gt;") >= 4
    assert "`--minutes`" not in page


@pytest.mark.parametrize("name", ["a`b`c", "`x`", "a`", "`<img>`"])
def test_backticks_of_a_name_stay(name: str) -> None:
    page = with_sentence(f"{name!r} is missed.")
    assert html.unescape(page).count(f"{name!r} is missed.") >= 4
    assert "<img" not in page


def test_a_chart_that_fails_is_a_visible_card() -> None:
    """A curve whose prevalence is no number: the page stands, and says what is missing."""
    result = result_of(scored_counts(90, 10, 10, 90), "fraud")
    evaluation = result.evidence.evaluation
    assert evaluation is not None
    broken = dataclasses.replace(evaluation.curves[0], prevalence="half")  # type: ignore[arg-type]
    changed = dataclasses.replace(
        result, evidence=Evidence(evaluation=dataclasses.replace(evaluation, curves=(broken,)))
    )
    page = build_page(changed)
    (problem,) = blocks_of(page, Problem)
    assert "Precision-recall curve of 'fraud' could not be drawn" in problem.text
    text = Document(render_html(changed)).text
    assert "A part of this report is missing" in text
    assert problem.text in text
    (figures,) = blocks_of(page, Figures)
    assert [chart.identifier for chart in figures.charts] == ["confusion-matrix", "recall-by-class", "reliability"]


def test_a_section_that_fails_is_a_visible_card_in_its_place() -> None:
    result = result_of(scored_counts(90, 10, 10, 90), "fraud")
    broken = dataclasses.replace(result, evidence=dataclasses.replace(result.evidence, conformance="nothing"))
    page = build_page(broken)
    (problem,) = blocks_of(page, Problem)
    assert "Correctness of the pooling layers could not be rendered (AttributeError" in problem.text
    assert [section.identifier for section in page.sections] == [
        "metrics",
        "correctness-of-the-pooling-layers",
        "glossary",
        "method",
    ]
    assert problem.text in Document(render_html(broken)).text


@pytest.mark.parametrize(
    "part",
    [
        "<script>1</script>",
        '<a href="x">y</a>',
        '<rect onload="x"/>',
        '<use xlink:href="x"/>',
        '<image href="x"/>',
        "<foreignObject/>",
        '<animate attributeName="x"/>',
        "<style>@import</style>",
    ],
)
def test_a_picture_that_could_act_is_refused(part: str) -> None:
    require_inert('<svg><text font="on" aria-label="a href=1 onload=2 &lt;script">onload=1 href=2</text></svg>')
    with pytest.raises(ValueError, match="active content"):
        require_inert(f"<svg><g>{part}</g></svg>")


def test_a_picture_with_hostile_labels_is_not_refused() -> None:
    rows = alt.InlineData(values=[{"name": name[:40], "x": i} for i, name in enumerate(HOSTILE)])
    svg = render_svg(alt.Chart(rows).mark_point().encode(x="x:Q", y="name:N"))
    assert "<script" not in svg
    assert not re.search(r"<[^>\"]*\son\w+=", re.sub(r'"[^"]*"', '""', svg))


def test_shifts_over_several_distances_are_drawn() -> None:
    from poolaudit.evidence.geometry import GeometryEvidence, ShiftAtDistance, ShiftEvidence, ShiftMode
    from poolaudit.report.charts.geometry import shift_consistency
    from poolaudit.statistics.intervals import wilson

    share = wilson(180, 200)
    distances = tuple(ShiftAtDistance(cells, wilson(200 - 20 * cells, 200)) for cells in (1, 2, 3))
    modes = tuple(ShiftMode(name, share, share, distances) for name in ("circular", "zero"))
    shift = ShiftEvidence("circular", "Because.", 3, 0.1, 12, 200, modes, ())
    chart = shift_consistency(shift)
    assert chart is not None
    assert "Same class as unshifted" in chart.svg
    result = result_of(from_confusion(diagonal(2, 50, 0.8)))
    geometry = GeometryEvidence(sites=(), shift=shift)
    page = build_page(dataclasses.replace(result, evidence=dataclasses.replace(result.evidence, geometry=geometry)))
    assert not [block for section in page.sections for block in section.blocks if isinstance(block, Problem)]


def test_a_model_is_judged_as_far_as_it_was_looked_at() -> None:
    from poolaudit.outcomes import Outcome
    from poolaudit.report.markdown import render_markdown
    from poolaudit.results import StageResult

    result = result_of(from_confusion(diagonal(2, 400, 0.99)))
    assert result.verdict is Verdict.READY
    stages = (*result.stages, StageResult("leakage", Outcome.SKIPPED, 0.0, "not asked for"))
    partial = dataclasses.replace(result, stages=stages)
    assert build_page(partial).verdict_text.endswith("Not run: leakage.")
    assert "Not run: leakage." in render_markdown(partial)
    failed = dataclasses.replace(partial, verdict=Verdict.NOT_READY)
    assert build_page(failed).verdict_text.endswith("Not run: leakage.")
    assert "Not run" not in build_page(result).verdict_text + render_markdown(result)


def test_counts_can_be_read_on_every_shade() -> None:
    from poolaudit.report.charts.metrics import confusion_matrix
    from specimens.outcomes import evaluation

    for hits in range(0, 201, 8):
        chart = confusion_matrix(evaluation(from_confusion([[200, 0], [200 - hits, hits]])))
        assert chart is not None
        shades = re.findall(r'fill="rgb\((\d+), (\d+), (\d+)\)" stroke="white"', chart.svg)
        inks = re.findall(r'font-size="12px" fill="(white|#[0-9a-f]{6})">[\d,]+</text>', chart.svg)
        assert len(shades) == len(inks) == 4
        for shade, ink in zip(shades, inks, strict=True):
            written = "ffffff" if ink == "white" else ink[1:]
            low, high = sorted(map(luminance, (shade, [int(written[i : i + 2], 16) for i in (0, 2, 4)])))
            assert (high + 0.05) / (low + 0.05) > 3.6, (hits, shade, ink)


def luminance(colour: Sequence[str | int]) -> float:
    """Relative luminance of sRGB (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (int(x) / 255 for x in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_slider_says_where_it_does_not_begin_at_the_model_as_shipped() -> None:
    words = "not at the model as shipped"
    assert words in render_html(result_of(scored(3, 300)))
    assert words not in render_html(result_of(scored_counts(40, 60, 20, 400)))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_report_on_layers_does_not_speak_of_releasing_a_model(verdict: Verdict) -> None:
    layers = dataclasses.replace(
        result_of(scored_counts(90, 10, 10, 90), "fraud"), scope="conformance", verdict=verdict
    )
    text = build_page(layers).verdict_text
    assert "this layer" in text
    assert "model" not in text
    assert "release" not in text


def test_a_report_on_a_model_speaks_of_its_release() -> None:
    result = dataclasses.replace(result_of(scored_counts(90, 10, 10, 90), "fraud"), verdict=Verdict.NOT_READY)
    assert build_page(result).verdict_text == "Do not release this model as it is."


def test_one_demand_that_is_not_met_is_told_as_one() -> None:
    result = result_of(scored_counts(90, 10, 10, 90), "fraud")
    with pytest.raises(AssertionError, match="1 of the demands is not met"):
        result.require(recall_at_least=0.99)
    with pytest.raises(AssertionError, match="2 of the demands are not met"):
        result.require(recall_at_least=0.99, precision_at_least=0.99)
