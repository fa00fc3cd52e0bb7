"""Every sentence in Chinese and English, and every page in both."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from annotation.db import utcnow
from annotation.people_tables import Role, UserState
from annotation.run_tables import CheckpointKind, DataSetKind, RunKind, RunState
from annotation.tables import AssignmentState, PriorityRule, SettledBy, TurnState
from app import words
from app.catalog import sentences
from app.i18n import FOLDER, choose, retell, translate
from app.render import environment

TERMS = Path(__file__).parents[2] / "docs" / "terms.md"


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


def test_chinese_has_one_word_for_one_thing(translated: dict[object, Message]) -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|([^|]*)\|$", TERMS.read_text(encoding="utf-8"), re.MULTILINE)
    refused = {word.strip(): chosen for _, chosen, words in rows for word in words.split(",") if word.strip()}
    assert {"医师": "医生", "抽查": "盲审"}.items() <= refused.items()
    del refused["not"]
    for message in translated.values():
        for text in texts(message):
            for word, chosen in refused.items():
                assert word not in text, f"docs/terms.md says {chosen}: {text}"


def test_a_duration_in_chinese_has_the_short_word_for_a_second() -> None:
    filters = environment("zh").filters
    assert (filters["duration"](31), filters["duration"](420)) == ("31秒", "7分钟")
    assert filters["ago"](utcnow()) == "1秒前"
    assert environment("en").filters["duration"](31) == "31 seconds"


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


def test_a_sentence_that_was_filled_in_already_is_known_again_and_so_is_a_sentence_in_it() -> None:
    inner = "it was not evaluated on held-out pairs"
    refused = (
        f"The reward model is not shown to know more than length ({inner}): train it on more rankings, or set "
        "despite_gate to run all the same."
    )
    assert retell("zh", refused).startswith("尚无证据表明奖励模型所学超出回答长短（它未在留出的回答对上评测过）")
    assert retell("zh", "The training ended with status 1: ValueError: {odd}\nline") == (
        "训练以状态 1 结束：ValueError: {odd}\nline"
    )
    for none_of_ours in ("", "ValueError: odd", "loss", "3"):
        assert retell("zh", none_of_ours) == none_of_ours
    assert retell("en", refused) == refused


@pytest.mark.parametrize(
    ("cookie", "accepted", "chosen"),
    [("en", "zh", "en"), (None, "en-US,zh", "en"), (None, "de,fr", "zh"), ("xx", "", "zh"), (None, "", "zh")],
)
def test_chinese_is_the_language_unless_another_was_chosen(cookie: str | None, accepted: str, chosen: str) -> None:
    assert choose(cookie, accepted) == chosen
