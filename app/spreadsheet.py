"""Files that spreadsheets open: as Chinese text, and never as formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel reads the file in the code page of the computer."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is run by some spreadsheets. Source: the OWASP page on CSV injection."""


def write(header: Sequence[str], rows: Iterable[Sequence[str | float | int | None]]) -> bytes:
    """Comma-separated values in UTF-8; numbers stay numbers, also negative ones, and None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([safe(each) for each in header])
    writer.writerows([safe(each) for each in row] for row in rows)
    return (BYTE_ORDER_MARK + text.getvalue()).encode()


def safe(value: str | float | int | None) -> str | float | int:
    """The cell; a text that would be a formula stands behind an apostrophe."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
