"""docs/api.md says what is so: every example in it runs, in the order in which it stands there."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from string import Template
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.outside_tables import Event
from annotation.store import tokens
from app.api.document import document_of
from tests.conftest import Cast
from workers.hooks import sign

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
URL = "http://testserver"


FILES = {"@dialogues.jsonl": "json", "@ranking.tsv": "tsv"}
"""In which language the block stands that a command sends as a file."""


def blocks(language: str) -> list[str]:
    """The code of a language, block by block."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def calls(secrets: dict[str, str]) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Every curl command as method, path, headers and body."""
    found = []
    for line in "".join(blocks("sh")).replace("\\\n", "").splitlines():
        parts = iter(shlex.split(Template(line).substitute(secrets))[1:])
        method, path, headers, body = "", "", {}, b""
        for part in parts:
            if part == "-X":
                method = next(parts)
            elif part == "-H":
                name, _, value = next(parts).partition(": ")
                headers[name] = value
            elif part == "-d":
                body = next(parts).encode()
            elif part == "--data-binary":
                body = blocks(FILES[next(parts)])[0].encode()
            else:
                path = part.removeprefix(URL)
        found.append((method or ("POST" if body else "GET"), path, headers, body))
    return found


def test_every_example_runs(web: FastAPI, database: Database, cast: Cast) -> None:
    secrets = {"URL": URL}
    with database.writing() as session:
        for login in ("sun", "li", "wang", "zhao"):
            _, secret = tokens.create(session, session.merge(getattr(cast, login)), "x", may_write=True, days=1)
            secrets["ADMIN" if login == "sun" else login.upper()] = secret
    client = TestClient(web)
    answers: list[Any] = []
    made = calls(secrets)
    assert len(made) > 20
    for method, path, headers, body in made:
        answer = client.request(method, path, headers=headers, content=body)
        assert 200 <= answer.status_code < 300, (method, path, answer.text)
        assert answer.status_code != 204, path
        answers.append(answer)
    progress = next(a for a, call in zip(answers, made, strict=True) if call[1].endswith("/progress"))
    assert progress.json()["by_state"] == {"settled": 1}
    file = next(a for a, call in zip(answers, made, strict=True) if call[1].endswith("/turns.jsonl"))
    assert file.json()["rewrite"] == "很抱歉，我不知道。请带孩子去医院。"


def test_the_example_of_a_check_takes_our_signature_and_no_other() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)  # noqa: S102  (it is ours)
    check, now, body = names["comes_from_zhongjing"], int(time.time()), b'{"id":"x"}'
    assert check("secret", f"t={now},v1={sign('secret', now, body)}", body)
    assert not check("other", f"t={now},v1={sign('secret', now, body)}", body)
    assert not check("secret", f"t={now},v1={sign('secret', now, body)}", body + b" ")
    old = now - 301
    assert not check("secret", f"t={old},v1={sign('secret', old, body)}", body)


def test_every_event_and_every_refusal_is_explained(web: FastAPI) -> None:
    for event in Event:
        assert f"| `{event.value}` |" in DOCUMENT, event
    for name in document_of(web.state.api)["components"]["responses"]:
        assert f"| {name.removeprefix('Refused')} |" in DOCUMENT, name


def test_every_address_is_in_the_list_and_no_other(web: FastAPI) -> None:
    section = DOCUMENT.split("## All there is")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`/.+?) \| .+ \|$", section, re.MULTILINE)
    told = {path for row in rows for path in re.findall("`(.+?)`", row)}
    paths = document_of(web.state.api)["paths"]
    assert told == {re.sub(r"{\w+}", "…", path.removeprefix("/api/v1")) for path in paths}
