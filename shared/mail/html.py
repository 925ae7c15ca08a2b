"""Reads the text out of HTML mail. In bounded time, and never with an exception, whatever the markup does.

What comes out is plain text. Markup that is nested more deeply than any mail is has its tags taken out one by
one, since parsers need quadratic time for it, and drop what is too deep without a word.
"""

from __future__ import annotations

import html
import re
from collections import Counter

import inscriptis
import nh3
from inscriptis.model.config import ParserConfig

from shared.mail.charsets import clean

MAX_MARKUP_DEPTH = 120
MAX_TAGS = 30_000
_SHOWN = (
    "a abbr address article b blockquote body br caption center cite code dd del div dl dt em font footer "
    "h1 h2 h3 h4 h5 h6 header hr html i ins li main ol p pre q s section small span strike strong sub sup "
    "table tbody td tfoot th thead tr tt u ul"
)
_TAGS = set(_SHOWN.split())
_SILENT = {"script", "style", "title", "head", "noscript", "template"}
_ROW = re.compile(r"<(/?)(?:table|tbody|thead|tfoot|tr|caption)>")
_CELL = re.compile(r"</?t[dh]>")
_BREAK = re.compile(
    r"</?(?:br|hr|p|div|tr|td|th|li|ul|ol|dl|dt|dd|pre|h[1-6]|table|blockquote)\b[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]*>")
_CONFIG = ParserConfig(display_images=False, display_links=False)
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Elements that hold nothing, or that end by themselves where the next of their kind begins.
_FLAT = frozenset({
    "area", "base", "body", "br", "col", "dd", "dt", "embed", "hr", "html", "img", "input", "li", "link",
    "meta", "option", "p", "param", "source", "td", "th", "tr", "track", "wbr",
})  # fmt: skip


def read_html(source: str) -> str:
    """The text of an HTML document, sanitised first, in the order of the source: mails lay out whole pages
    with tables, whose columns side by side would tear the sentences apart, so a row is a line. Links and
    pictures are left out."""
    simple = source.count("<") <= MAX_TAGS and _depth(source) <= MAX_MARKUP_DEPTH
    text = _rendered(source) if simple else _stripped(source)
    lines = (line.rstrip() for line in clean(text)[0].splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def _rendered(source: str) -> str:
    safe = nh3.clean(source, tags=_TAGS, clean_content_tags=_SILENT, attributes={}, link_rel=None)
    bare = html.unescape(_TAG.sub(" ", safe))
    if not bare.strip():
        return ""
    linear = _CELL.sub(" ", _ROW.sub(r"<\1div>", safe))
    try:
        # inscriptis undoes entities twice; so one is put on top.
        text = str(inscriptis.get_text(linear.replace("&amp;", "&amp;amp;"), _CONFIG))
    except Exception:
        text = ""
    if len("".join(text.split())) < len("".join(bare.split())):  # it dropped something
        text = html.unescape(_TAG.sub("", _BREAK.sub("\n", linear)))
    return text


def _stripped(source: str) -> str:
    """The text between the tags, without a parser. Linear."""
    shown: list[str] = []
    silent = ""
    position = 0
    for tag in _TAG.finditer(source):
        if not silent:
            shown.append(source[position : tag.start()])
            shown.append("\n" if _BREAK.match(tag[0]) else "")
        position = tag.end()
        name = _NAME.match(tag[0])
        if name and name[2].lower() in _SILENT and name[2].lower() != "head":
            silent = "" if name[1] else name[2].lower()
    if not silent:
        shown.append(source[position:])
    return html.unescape("".join(shown))


def _depth(markup: str) -> int:
    """How deeply elements may come to be nested. An end tag counts only for a start tag of its own name."""
    open_tags: Counter[str] = Counter()
    depth = deepest = 0
    for tag in _NAME.finditer(markup):
        name = tag[2].lower()
        if name in _FLAT:
            continue
        if not tag[1]:
            open_tags[name] += 1
            depth += 1
            deepest = max(deepest, depth)
        elif open_tags[name]:
            open_tags[name] -= 1
            depth -= 1
    return deepest
