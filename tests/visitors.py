"""People with a browser without script: they read the pages as they come and send the forms that stand in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2

from annotation.abilities import Ability
from annotation.ranking import Boundary, Ranking
from app import forms
from tests.conftest import password_of, wait_for

Judge = Callable[[Sequence[str]], Ranking]
"""Ranks texts; the ranking speaks of them by their position."""

RESPONSE = re.compile(r'<article class="card response".*?<div class="said text">(.*?)</div>', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
ASKED = re.compile(r'action="/reviews/\d+/(outcome|pair|rewrite|decide)"')


def by_quality(quality: Callable[[str], Sequence[float]], abilities: Sequence[Ability]) -> Judge:
    """Whoever is better in the first of several qualities stands higher; where they are equal the next one decides.

    ``abilities`` names what each quality is called. Texts equal in all of them are tied.
    """

    def judge(texts: Sequence[str]) -> Ranking:
        seen = [tuple(quality(text)) for text in texts]
        levels = sorted(set(seen), reverse=True)
        groups = tuple(tuple(i for i, each in enumerate(seen) if each == level) for level in levels)
        decides = [
            next(a for a, high, low in zip(abilities, up, down, strict=True) if high != low)
            for up, down in pairwise(levels)
        ]
        return Ranking(groups, tuple(Boundary(ability) for ability in decides))

    return judge


class Visitor:
    """Somebody who is logged in."""

    def __init__(self, url: str, login: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=60, headers={"Origin": url})
        self._client.cookies.set("locale", "en")
        self.post("/login", login=login, password=password_of(login))

    def close(self) -> None:
        """Ends the connections, as a browser that is closed does."""
        self._client.close()

    def get(self, path: str) -> str:
        """A page."""
        answer = self._client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[-2000:]}"
        return str(answer.text)

    def json(self, path: str) -> Any:
        """What a script would fetch."""
        return self._client.get(path).json()

    def post(self, path: str, *, files: Mapping[str, Any] | None = None, **fields: Any) -> tuple[str, str]:
        """Sends a form; returns where that leads, and the page there."""
        answer = self._client.post(path, data=fields, files=files, follow_redirects=True)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[-2000:]}"
        return str(answer.url.path), str(answer.text)

    def rank_everything(self, campaign_id: int, judge: Judge, most: int = 10_000) -> int:
        """Ranks turn after turn until nothing is left; returns how many."""
        done = 0
        while done < most:
            path, page = self.post(f"/rank/{campaign_id}/next")
            if not path.startswith("/assignments/"):
                return done
            ranking = judge([unescape(text) for text in RESPONSE.findall(page)])
            fields = {**fields_of(page), **forms.write_fields(ranking, range(ranking.k))}
            where, after = self.post(f"{path}/ranking", **{**fields, "acts": "9", "active": "12.5"})
            assert where.endswith("/stored"), after
            done += 1
        return done

    def review_everything(self, judge: Judge, most: int = 10_000) -> int:
        """Settles one contested turn after the other until the queue is empty; returns how many."""
        done = 0
        while done < most:
            path, page = self.post("/review/next")
            if not path.startswith("/reviews/"):
                return done
            while (asked := ASKED.findall(page)[0]) != "decide":
                _, page = self.post(f"{path}/{asked}", **self._answer(asked, page, judge))
            self.post(f"{path}/decide", **fields_of(page))
            done += 1
        return done

    def _answer(self, asked: str, page: str, judge: Judge) -> dict[str, Any]:
        if asked == "outcome":
            return {"version": fields_of(page)["version"], "none_acceptable": "false"}
        hidden = fields_of(page)
        if "relation" in hidden:  # the order of the pair is known by now, what decides it is not
            return {**hidden, "ability": "1"}
        unmarked = re.sub("</?mark>", "", page)
        ranking = judge([unescape(text) for text in RESPONSE.findall(unmarked)[:2]])
        return {**hidden, "relation": str(ranking.relations()[0, 1])}

    def create_campaign(self, name: str) -> str:
        """A campaign of four responses with ties, and with the members that its form proposes; returns where it is."""
        page = self.get("/admin/campaigns/new")
        proposed = re.findall(r'name="member" value="(\d+)" checked', page)
        form = {"name": name, "k": "4", "ties_allowed": "true", "guideline": "先看安全。", "member": proposed}
        return self.post("/admin/campaigns/new", **form)[0]

    def start_run(self, kind: str, **fields: Any) -> int:
        """Starts a run by its form; settings are named ``set-…`` there."""
        named = {name if name in ("name", *STARTS_FROM) else f"set-{name}": value for name, value in fields.items()}
        where, _ = self.post(f"/admin/runs/new/{kind}", **named)
        return int(where.rpartition("/")[2])

    def wait_for_run(self, run_id: int, seconds: float = 300) -> str:
        """Watches the page of a run until it has succeeded; returns the page."""

        def ended() -> bool:
            page = self.get(f"/admin/runs/{run_id}/live")
            assert ">failed<" not in page, page
            return ">succeeded<" in page

        wait_for(ended, seconds)
        return self.get(f"/admin/runs/{run_id}")

    def upload(self, path: str, file: Path | bytes, **fields: Any) -> str:
        """Sends a file with a form; returns the page that comes."""
        data = file if isinstance(file, bytes) else file.read_bytes()
        return self.post(path, files={"file": ("upload.jsonl", data)}, **fields)[1]


STARTS_FROM = ("snapshot", "campaign", "data", "base", "policy", "reward")


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a page's first forms, the first of each name."""
    found: dict[str, str] = {}
    for name, value in HIDDEN.findall(page):
        found.setdefault(name, unescape(value))
    return found


def options_of(page: str, field: str) -> dict[str, str]:
    """The options of a select: what is shown, and the value behind it."""
    inside = re.findall(rf'<select id="{field}".*?</select>', page, re.DOTALL)[0]
    return {unescape(text): value for value, text in re.findall(r'<option value="([^"]*)"[^>]*>([^<]*)<', inside)}
