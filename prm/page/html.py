"""The page as one text: style, script and data inside, nothing fetched, nothing in a sample's text able to leave its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCRIPTS = ("parts.js", "chart.js", "page.js")


def page(data: Mapping[str, Any]) -> str:
    """The HTML of what `data.gather` made. Only the two scripts and the style written here may run (a content security policy names their
    hashes), so even markup that slipped through could do nothing."""
    style = _file("page.css")
    script = "".join(map(_file, SCRIPTS))
    parts = {
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        "title": escape(f"{data['id']}: traces"),
        "style": style,
        "data": inert(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


def inert(data: Any) -> str:
    """JSON that can stand in a <script> element: no `<`, `>` or `&`, so neither `</script>` nor `<!--` can be spelled; ASCII throughout."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
