"""A desk to rank at: the web alone, served by a thread, which is up in a second and needs no worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from annotation.db import Database
from annotation.formats.rows import NewDialogue, NewResponse, NewTurn
from annotation.store import campaigns, imports, people
from app.main import create_app
from app.passwords import hash_password
from app.settings import Settings
from tests.conftest import password_of, wait_for
from tests.installation import PEOPLE, answers, free_port

LONG = "头痛的原因很多，需要结合年龄、既往病史和伴随症状综合判断，不能只凭一句话下结论。\n\n"
ANSWERS = (LONG * 14, f"{LONG * 3}每次0.5克。", f"{LONG * 3}每次5克。", "去医院。")


@dataclass(frozen=True)
class Desk:
    """Where the web is reached, and its database for a look behind the pages."""

    settings: Settings
    database: Database

    @property
    def url(self) -> str:
        """The address of the start page."""
        return f"http://{self.settings.host}:{self.settings.port}"


@contextmanager
def a_desk(home: Path, database_url: str) -> Iterator[Desk]:
    """A web on a migrated database with a small cast; at the end it is gone."""
    settings = Settings(home=home, port=free_port(), DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1/0")
    database = Database(database_url)
    with database.writing() as session:
        for login, (name, role) in PEOPLE.items():
            people.add(session, login, name, role, password_hash=hash_password(password_of(login)))
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, host=settings.host, port=settings.port, log_level="critical"))
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    desk = Desk(settings, database)
    try:
        wait_for(lambda: answers(desk.url), 60)
        yield desk
    finally:
        server.should_exit = True
        serving.join(20)
        app.state.database.dispose()
        database.dispose()


def two_turns(desk: Desk) -> None:
    """Two turns to rank: a long history, two nearly equal answers, a very long and a very short one."""
    with desk.database.writing() as session:
        campaign = campaigns.create(session, "试点", guideline="先看安全。\n再看专业。")
        responses = tuple(NewResponse(text, "m") for text in ANSWERS)
        turn = NewTurn(1, (("头痛三天了。", LONG),) * 6, "怎么办？", responses, reply=ANSWERS[0])
        new = [NewDialogue(1, f"d{number}", (turn,), "神经内科") for number in range(2)]
        imports.add(session, campaign, new, source="t", actor_id=None)
