"""Pages and fragments: templates, the language they are in, and how numbers and times look."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, lru_cache, partial
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from annotation.abilities import Ability, Dimension
from annotation.db import utcnow
from annotation.ranking import LETTERS
from app import i18n, rows, words

STATIC = Path(__file__).parent / "static"


def templates_folder() -> Path:
    """Where the templates lie: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / "templates"
    return inside if inside.exists() else Path(__file__).parent.parent / "templates"


@cache
def environment(locale: str) -> Environment:
    """The templates in a language. Everything is escaped, whatever a file is called."""
    env = Environment(
        loader=FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.install_gettext_translations(i18n.translations(locale), newstyle=True)  # type: ignore[attr-defined]
    env.globals |= {
        "_": _sentences(i18n.translations(locale)),
        "locale": locale,
        "locales": i18n.LOCALES,
        "abilities": list(Ability),
        "dimensions": list(Dimension),
        "letters": LETTERS,
        "static": static_url,
    }
    env.filters |= {
        "ability": partial(_ability, locale, 0),
        "ability_question": partial(_ability, locale, 1),
        "ability_options": lambda chosen: _ability_options(locale, frozenset(chosen)),
        "dimension": lambda d: i18n.translate(locale, words.DIMENSIONS[Dimension(d)]),
        "word": lambda value: i18n.translate(locale, words.WORDS.get(str(value), str(value))),
        "misfit": partial(rows.in_words, locale),
        "say": lambda message, **parts: i18n.translate(locale, message, **parts),
        "retold": lambda said: i18n.retell(locale, said) if isinstance(said, str) else said,
        "letter_in": lambda response, letters: letters[response],
        "number": lru_cache(4096)(partial(format_decimal, locale=locale)),
        "percent": lambda value, digits=0: _percent(value, digits, locale),
        "decimal": lambda value, digits=3: "–" if value is None else f"{value:.{digits}f}",
        "plus_days": lambda day, days: (day + timedelta(days=round(days))).isoformat(),
        "when": lambda at: format_datetime(at, "yyyy-MM-dd HH:mm", locale=locale) if at else "–",
        "ago": lambda at: _ago(at, locale),
        "duration": lambda seconds: _duration(seconds, locale),
        "circled": _circled,
    }
    return env


def _sentences(catalogue: NullTranslations) -> Callable[..., Markup]:
    """``_`` of the templates. A page says some 130 sentences, nearly all as they stand: those are looked up once."""

    def filled(message: str, parts: Mapping[str, object]) -> Markup:
        return Markup(catalogue.gettext(message)) % parts  # noqa: S704  (our own; what is put into it is escaped)

    whole = lru_cache(2048)(partial(filled, parts={}))

    def said(message: str, **parts: object) -> Markup:
        return filled(message, parts) if parts else whole(message)

    return said


@cache
def static_url(name: str) -> str:
    """The address of a static file, which changes when the file does."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def locale_of(request: Request) -> str:
    """The language of the page that is asked for."""
    return i18n.choose(request.cookies.get(i18n.COOKIE), request.headers.get("accept-language", ""))


def page(request: Request, name: str, status: int = 200, headers: dict[str, str] | None = None,
         **context: Any) -> HTMLResponse:  # fmt: skip
    """A page or a fragment, with who is logged in and where we are."""
    template = environment(locale_of(request)).get_template(name)
    user = getattr(request.state, "user", None)
    html = template.render(request=request, user=user, now=utcnow(), demo=request.app.state.settings.demo, **context)
    return HTMLResponse(html, status_code=status, headers=headers)


def say(request: Request, message: str, **parts: object) -> str:
    """A sentence in the language of the page."""
    return i18n.translate(locale_of(request), message, **parts)


def wants_fragment(request: Request) -> bool:
    """Whether script asked, which puts the answer into the page that is open."""
    return request.headers.get("hx-request") == "true"


def _ability(locale: str, part: int, ability: int) -> str:
    return i18n.translate(locale, words.ABILITIES[Ability(ability)][part])


@lru_cache(1024)
def _ability_options(locale: str, chosen: frozenset[str]) -> Markup:
    """The nine abilities to choose from, in seven places of a form that is rendered with every turn."""
    option = Markup('<option value="{}"{}>{} {}</option>')
    selected = {True: Markup(" selected"), False: ""}
    return Markup("").join(
        option.format(a.value, selected[str(a.value) in chosen], _circled(a.value), _ability(locale, 0, a.value))
        for a in Ability
    )


def _circled(number: int | str) -> str:
    return "①②③④⑤⑥⑦⑧⑨"[int(number) - 1]


@lru_cache(4096)
def _percent(value: float | None, digits: int, locale: str) -> str:
    pattern = "#,##0%" if digits == 0 else f"#,##0.{'0' * digits}%"
    return "–" if value is None else format_percent(value, pattern, locale=locale)


def _ago(at: datetime | None, locale: str) -> str:
    if at is None:
        return "–"
    moment = at - utcnow()
    if moment <= timedelta():
        moment = min(moment, timedelta(seconds=-1))  # what is past is at least a second ago
    return format_timedelta(moment, granularity="second", add_direction=True, **_length(locale))


def _duration(seconds: float | None, locale: str) -> str:
    if seconds is None:
        return "–"
    return format_timedelta(timedelta(seconds=seconds), granularity="second", threshold=1.2, **_length(locale))


def _length(locale: str) -> dict[str, Any]:
    """Chinese has a long and a short word for a second: the short one is enough."""
    return {"locale": locale, "format": "short" if locale == "zh" else "long"}
