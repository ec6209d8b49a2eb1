"""The page as one HTML file that asks for nothing beyond itself.

Its content security policy allows no request, and no script but the two in it, by their digests.
What names hold is text: the template escapes it, and the page's script never makes markup of data.
Equal content gives equal bytes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import asdict
from functools import cache
from importlib import metadata, resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.report.text import visible

if TYPE_CHECKING:
    from bench.report.content import Content


SCRIPTS = ("tables.js", "charts.js", "runs.js", "compare.js", "page.js")
"""The page's script in the order of its parts."""


def render(content: Content) -> str:
    """Return the page's HTML."""
    script = "\n".join(map(_own, SCRIPTS))
    plotly, packed = _plotly()
    environment = Environment(
        autoescape=True,
        finalize=_written,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    contests = visible([asdict(contest) for contest in content.contests])
    return environment.from_string(_own("page.html.j2")).render(
        content=content,
        scripts=f"'{_digest(script)}' '{plotly}'",
        script=Markup(script),  # noqa: S704  our own files, not data
        style=Markup(_own("page.css")),  # noqa: S704
        plotly=packed,
        contests=_json(contests),
        version=metadata.version("cycada-bench"),
    )


def _own(name: str) -> str:
    return (resources.files("bench.report") / name).read_text(encoding="utf-8")


@cache
def _plotly() -> tuple[str, str]:
    """Return the digest of Plotly's script, and the script packed as `bench.report.entries.pack`.

    The package holds the file; its Python is not asked for.
    """
    file = resources.files("plotly") / "package_data" / "plotly.min.js"
    script = file.read_bytes()
    return _digest(script.decode()), base64.b64encode(gzip.compress(script, 9, mtime=0)).decode()


def _digest(script: str) -> str:
    """Return what a content security policy calls a script (W3C CSP Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _written(value: object) -> object:
    return value if isinstance(value, Markup) else visible(value)


def _json(value: object) -> Markup:
    r"""Return JSON for a script element, in which no text can end the element.

    >>> print(_json("</script>"))
    "\u003c/script>"
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  nothing else ends a script element
