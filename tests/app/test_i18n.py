"""Every sentence in Chinese and English, and every page in both."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from annotation.run_tables import CheckpointKind, DataSetKind, RunKind, RunState
from annotation.tables import AssignmentState, PriorityRule, Role, SettledBy, TurnState, UserState
from app import words
from app.catalog import sentences
from app.i18n import FOLDER, choose, translate


@pytest.fixture(scope="module")
def translated() -> dict[object, Message]:
    with (FOLDER / "zh.po").open("rb") as file:
        return {message.id: message for message in read_po(file, locale="zh") if message.id}


def texts(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def places(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s|\{(\w+)\}", text)) - {("num", "")}


def test_every_sentence_is_translated(translated: dict[object, Message]) -> None:
    needed = {message.id for message in sentences() if message.id}
    assert len(needed) > 400
    missing = [each for each in needed if each not in translated or not all(texts(translated[each]))]
    assert missing == []
    assert set(translated) - needed == set(), "sentences that are no longer used: run python -m app.catalog"


def test_translations_have_the_places_of_their_sentences(translated: dict[object, Message]) -> None:
    for message in translated.values():
        first = message.id if isinstance(message.id, str) else message.id[0]
        for text in texts(message):
            assert places(text) == places(str(first)), first


def test_every_translation_can_be_filled_in(translated: dict[object, Message]) -> None:
    for message in translated.values():
        for text in texts(message):
            assert text % defaultdict(int), "a page fills in every sentence: a sign for percent of its own shuts it"


def test_every_word_of_the_domain_has_a_name() -> None:
    kinds = (TurnState, UserState, Role, SettledBy, PriorityRule, RunKind, RunState, CheckpointKind, DataSetKind)
    for kind in kinds:
        for value in kind:
            assert value.value in words.WORDS, value
    assert {AssignmentState.SUBMITTED, AssignmentState.CANNOT_JUDGE} <= words.WORDS.keys()


def test_a_sentence_is_filled_in_after_it_is_translated() -> None:
    assert (
        translate("zh", "The login {login} is taken: choose another.", login="li") == "登录名 li 已被使用：请另选一个。"
    )
    assert translate("en", "The login {login} is taken: choose another.", login="li").startswith("The login li")


@pytest.mark.parametrize(
    ("cookie", "accepted", "chosen"),
    [("en", "zh", "en"), (None, "en-US,zh", "en"), (None, "de,fr", "zh"), ("xx", "", "zh"), (None, "", "zh")],
)
def test_chinese_is_the_language_unless_another_was_chosen(cookie: str | None, accepted: str, chosen: str) -> None:
    assert choose(cookie, accepted) == chosen
