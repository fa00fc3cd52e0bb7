"""A desk to rank at: the web alone, served by a thread, on a campaign of turns whose responses say who they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from annotation.db import Database
from annotation.store import people
from app.main import create_app
from app.passwords import hash_password
from app.settings import Settings
from tests.conftest import password_of, wait_for
from tests.installation import PEOPLE, answers, free_port


@contextmanager
def a_desk(home: Path, database_url: str) -> Iterator[tuple[str, Database]]:
    """The address of a web on a migrated database with a small cast, and that database."""
    settings = Settings(home=home, port=free_port(), DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1/0")
    database = Database(database_url)
    with database.writing() as session:
        for login, (name, role) in PEOPLE.items():
            people.add(session, login, name, role, password_hash=hash_password(password_of(login)))
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, host=settings.host, port=settings.port, log_level="error"))
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    address = f"http://{settings.host}:{settings.port}"
    try:
        wait_for(lambda: answers(address), 60)
        yield address, database
    finally:
        server.should_exit = True
        serving.join(20)
        app.state.database.dispose()
        database.dispose()
