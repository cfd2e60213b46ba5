"""What every page is: one file that carries everything it needs and asks the network for nothing."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from types import MappingProxyType

__all__ = ["packed", "page_html"]

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'{more}; style-src 'unsafe-inline'; img-src data: blob:"
)


def packed(text: str) -> str:
    """Text compressed, in letters that mean nothing to HTML; the page unpacks it and is half as large."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@cache
def _packed_plotly() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - large, and only needed here

    return packed(get_plotlyjs())


def page_html(
    title: str,
    lead: str,
    sections: Sequence[tuple[str, str, str]],
    footer: str,
    *,
    scripts: Sequence[str],
    data: Mapping[str, str] = MappingProxyType({}),
    compiles: bool = False,
) -> str:
    """A page with its style, scripts, plotly and data; a content security policy forbids everything else.

    Args:
        title: Heading.
        lead: What it says, in a sentence.
        sections: Key, name and HTML of each.
        footer: What to know of the page; text.
        scripts: Files of this folder, run in this order after ``shell.js``.
        data: Texts that scripts unpack (:func:`packed`), by identifier.
        compiles: Whether plotly may make functions of text, as its charts on WebGL do.
    """
    here = files("layerweaver.backend_sim.report")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    parts = ("shell.js", *scripts)
    script = "".join(here.joinpath(name).read_text(encoding="utf-8") for name in parts)
    links = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(name)}</h2>\n{content}</section>\n'
        for key, name, content in sections
    )
    kept = "".join(
        f'<script type="text/plain" id="{key}">{text}</script>\n'
        for key, text in {**data, "plotly": _packed_plotly()}.items()
    )
    policy = _POLICY.format(more=" 'unsafe-eval'" if compiles else "")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="content">
{body}</main>
<footer>Made by layerweaver. {escape(footer)}</footer>
{kept}<script>
{script}</script>
</body>
</html>
"""
