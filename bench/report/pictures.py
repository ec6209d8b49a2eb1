"""A run's pictures, small enough to stand in a page."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING, Any

from PIL import Image

from bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 1200
"""Pixels that a picture is wide at most; as wide as `bench.figures` draws large ones."""

SMALL = 24_000
"""Bytes up to which a PNG stays as it is."""

QUALITY = 82
"""Of WebP, 0..100: no difference can be seen at these sizes."""

_UNDECODED = (
    *(OSError, SyntaxError, ValueError),
    *(Image.DecompressionBombWarning, Image.DecompressionBombError),
)


def picture(path: Path) -> dict[str, Any]:
    """Return a PNG file as "name", "src" (a data URI), "width" and "height".

    Raises:
        BenchError: the file is no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            content = path.read_bytes()
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                kind, content, size = _small(image, content)
    except _UNDECODED as error:
        raise BenchError(f"{path.name} cannot be shown: {error}") from error
    encoded = base64.b64encode(content).decode("ascii")
    source = f"data:image/{kind};base64,{encoded}"
    return {"name": path.stem, "src": source, "width": size[0], "height": size[1]}


def _small(image: Image.Image, content: bytes) -> tuple[str, bytes, tuple[int, int]]:
    """Return kind, bytes and size: the PNG itself, or a WebP where that is smaller."""
    image.load()
    if image.format == "PNG" and len(content) <= SMALL:
        return "png", content, image.size
    colours = image.convert("RGB")
    if colours.width > WIDTH:
        height = max(1, round(colours.height * WIDTH / colours.width))
        colours = colours.resize((WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    colours.save(buffer, "WEBP", quality=QUALITY, method=4)
    encoded = buffer.getvalue()
    if image.format == "PNG" and len(content) <= len(encoded):
        return "png", content, image.size
    return "webp", encoded, colours.size
