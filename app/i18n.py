"""Chinese and English: catalogues, and which language a page is in."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LOCALES = {"zh": "中文", "en": "English"}
DEFAULT = "zh"
COOKIE = "locale"
FOLDER = Path(__file__).parent / "locale"
LEAST_OWNED = 20
"""Characters: a sentence with fewer of its own may look like what somebody else has said."""


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


def retell(locale: str, said: str) -> str:
    """What a run has said in English, already filled in, in a language; as it is where it is no sentence of ours."""
    whole = translate(locale, said)
    if whole != said:
        return whole
    for form, message in _forms(locale):
        if found := form.fullmatch(said):
            return translate(
                locale, message, **{name: retell(locale, part) for name, part in found.groupdict().items()}
            )
    return said


@cache
def _forms(locale: str) -> list[tuple[re.Pattern[str], str]]:
    """How the sentences with {places} look when they are filled in, those with most words of their own first."""
    file = FOLDER / f"{locale}.po"
    if not file.exists():
        return []
    with file.open("rb") as source:
        filled = [str(each.id) for each in read_po(source, locale=locale) if each.id and "{" in str(each.id)]
    owned = {message: len(re.sub(r"\{\w+\}", "", message)) for message in filled}
    kept = sorted((each for each in filled if owned[each] >= LEAST_OWNED), key=lambda each: -owned[each])
    return [(_form(message), message) for message in kept]


def _form(message: str) -> re.Pattern[str]:
    seen: set[str] = set()
    pieces = []
    for text, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", message):
        pieces.append(re.escape(text))
        if name:
            pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+?)")
            seen.add(name)
    return re.compile("".join(pieces), re.DOTALL)
