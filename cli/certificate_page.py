"""A certificate as a person reads it: as text, and as one HTML page that needs nothing else. Pure."""

from __future__ import annotations

import html

from shared.certificate import Certificate, Participant

_STYLE = (
    "body{font:16px/1.5 Georgia,serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.6rem;border-bottom:3px double #888;padding-bottom:.5rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ccc}"
    "code{font-size:.85rem;word-break:break-all}.statement{background:#f2f2ec;padding:1rem;border-left:4px solid #587}"
    ".good{color:#175c2c}.bad{color:#a11}footer{margin-top:2rem;color:#666;font-size:.85rem}"
)
UNVERIFIED = "Not verified."
HOLDS = "Verified: the signature, every participant's receipt and its place in the signed log hold."


def lines_of(certificate: Certificate) -> list[tuple[str, str]]:
    """The head of the certificate: label and text."""
    return [
        ("Request", certificate.request),
        ("Account", certificate.account),
        ("Persons", ", ".join(certificate.persons)),
        ("Requested", f"{certificate.requested_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Completed", f"{certificate.completed_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Cell", certificate.cell),
    ]


def counts_of(one: Participant) -> str:
    """What a participant removed, in words."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(one.counts.items())) or "nothing was held"


def as_html(certificate: Certificate, verdict: str, holds: bool) -> str:
    """The page. Every text is escaped; it loads nothing and runs nothing."""
    head = "".join(
        f"<tr><th>{_text(label)}</th><td><code>{_text(value)}</code></td></tr>"
        for label, value in lines_of(certificate)
    )
    participants = "".join(
        f"<tr><td>{_text(one.service)}</td><td>{_text(one.outcome)}</td><td>{_text(counts_of(one))}</td>"
        f"<td>{one.cut_at:%Y-%m-%d %H:%M:%S} UTC</td></tr>"
        for one in certificate.participants
    )
    retained = "".join(
        f"<tr><td>{_text(one.what)}</td><td>{_text(one.reason)}</td><td>{_text(one.until)}</td></tr>"
        for one in certificate.retained
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Certificate of erasure</title>'
        f"<style>{_STYLE}</style></head><body><h1>Certificate of erasure</h1>"
        f'<p class="{"good" if holds else "bad"}">{_text(verdict)}</p><table>{head}</table>'
        f'<p class="statement">{_text(certificate.statement)}</p>'
        "<h2>What was erased</h2><table><tr><th>Service</th><th>Outcome</th><th>Removed</th><th>Keys cut</th></tr>"
        f"{participants}</table><h2>What is kept, and why</h2>"
        f"<table><tr><th>What</th><th>Why</th><th>Until</th></tr>{retained}</table>"
        f"<footer>{_text(certificate.format)}. Anybody can check this certificate offline:"
        " <code>lethe certificate verify FILE</code></footer></body></html>\n"
    )


def _text(value: str) -> str:
    return html.escape(value, quote=True)
