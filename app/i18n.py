"""Chinese and English: catalogues, and which language a page is in."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LOCALES = {"zh": "中文", "en": "English"}
DEFAULT = "zh"
COOKIE = "locale"
FOLDER = Path(__file__).parent / "locale"


@cache
def translations(locale: str) -> NullTranslations:
    """The catalogue of a language, read from its .po file; English is what the code says."""
    file = FOLDER / f"{locale}.po"
    if not file.exists():
        return NullTranslations()
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=locale))
    compiled.seek(0)
    return Translations(compiled)


def choose(cookie: str | None, header: str) -> str:
    """The language that was chosen, else the first one known that the browser accepts, else Chinese."""
    if cookie in LOCALES:
        return str(cookie)
    return accepted(header) or DEFAULT


def accepted(header: str) -> str | None:
    """The first language known here that a header of accepted ones names."""
    wanted = (entry.split(";")[0].strip().lower()[:2] for entry in header.split(","))
    return next((locale for locale in wanted if locale in LOCALES), None)


def translate(locale: str, message: str, **parts: object) -> str:
    """A sentence in a language, filled in."""
    text = translations(locale).gettext(message) if message else ""
    return text.format(**parts) if parts else text
