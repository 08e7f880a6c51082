"""Results for the tests of the report: real evidence, judged, with fixed provenance."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from poolaudit.evaluation.evaluate import evaluate
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.detector import detect
from poolaudit.pitfalls.verdict import decide
from poolaudit.policy import Policy
from poolaudit.results import SCHEMA_VERSION, AuditResult, DataProvenance, Evidence, Provenance, StageResult
from poolaudit.subject.predictions import Predictions
from specimens.outcomes import predictions

# Strings that have broken reports: markup, script, templates, quotes, controls, direction marks, length, formulas.
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "</style></title><h1>",
    "</script><script>alert(1)</script>",
    "{{ page.__class__ }}{% for x in y %}",
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "\u202egnp.exe\u202c",
    "\u2066\u2067abc\u2069",
    "datum.value + alert(1)",
    "'];alert(1);['",
    "\\u003cscript\\u003e",
    "a\0b\x01\x1b\ufffe\udcff",
    "&lt;b&gt;&amp;",
    "&#60;script&#62;",
    "x" * 2_000,
    "y " * 1_000,
    "`<b>`",
    "``",
    "-->]]><!--",
    "<!--",
    "<![CDATA[",
    "]]>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "line\nbreak\u2028and\ttab",
    "\r\nContent-Type: text/html",
    "🦀 größe 漢字",
    "Z̷̢̛a̷l̵g̴o̸",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "http://example.invalid/x.png",
    "//example.invalid/x",
    "![x](http://example.invalid/x.png)",
    "[x](javascript:alert(1))",
    "@everyone",
    "| a | b |",
    "# heading",
    "- item",
    ":smile:",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "' OR '1'='1",
    "; rm -rf /",
    "$(reboot)",
    "%s%n%x",
    "{0.__class__}",
    "..\\..\\windows",
    "../../etc/passwd",
    "NaN",
    "null",
    "true",
    " ",
    "\u00a0",
    "\u200b",
    "style=background:url(x)",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe src=x></iframe>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "' onmouseover='alert(1)",
    '" autofocus onfocus=alert(1) x="',
)


def result_of(given: Predictions, positive: str | None = None, title: str = "Made to measure") -> AuditResult:
    """Real evidence, judged, with fixed provenance."""
    evidence = Evidence(evaluation=evaluate(given, positive=positive))
    stages = (StageResult("evaluation", Outcome.PASSED, 0.1),)
    findings = detect(evidence, Policy())
    verdict, decision = decide(findings, stages)
    provenance = Provenance(
        command=f"poolaudit metrics {title}",
        started="2020-01-01T00:00:00+00:00",
        duration_seconds=0.1,
        seed=0,
        versions=(("poolaudit", "0"), ("numpy", "2")),
        platform="made up",
        model=None,
        data=(DataProvenance("test", title, len(given), "0" * 64, (title,)),),
    )
    return AuditResult(SCHEMA_VERSION, title, verdict, decision, findings, (), stages, evidence, Policy(), provenance)


def scored(classes: int, items: int, names: tuple[str, ...] | None = None, sharpness: float = 3.0) -> Predictions:
    """Seeded softmax scores of `classes` classes; a larger sharpness is a better model."""
    rng = np.random.default_rng(0)
    labels = np.arange(items) % classes
    logits = rng.normal(size=(items, classes))
    logits[np.arange(items), labels] += sharpness
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return predictions(labels, p.argmax(axis=1), names or [f"class {i}" for i in range(classes)], p)


class Document(HTMLParser):
    """Which elements and attributes there are, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[tuple[str, str]] = set()
        self.values: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements |= {(tag, ""), *((tag, name) for name, _ in attrs)}
        self.values += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.add(("comment", data))

    @property
    def text(self) -> str:
        return "".join(self.words)
