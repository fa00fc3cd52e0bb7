"""The canonical sequence: the same ids everywhere, each turn's sequence a prefix of the next."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf.data import DataError, Dialogue, Prompt
from rlhf.pretrain import new_tokenizer
from rlhf.sequences import Encoder, fit
from tests.rlhf.material import PLAIN, POLITE, RUDE, SENTENCES

ASKED = ("孩子发烧怎么办？", "头痛三天了。", "还要吃药吗？")
CHATML = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
DROPS_THINKING = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and '</think>' in m['content'] %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}{{ '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n<think>\n' }}{% endif %}"
)


def made(template: str | None) -> Encoder:
    tokenizer = new_tokenizer(SENTENCES, 320)
    tokenizer.chat_template = template
    return Encoder.of(tokenizer)


@pytest.fixture(params=["own", "chatml", "thinking", "none"])
def any_encoder(request: pytest.FixtureRequest, encoder: Encoder) -> Encoder:
    """Encoders of templates that put something after the end token, that rewrite history, and of none at all."""
    if request.param == "own":
        return encoder
    return made({"chatml": CHATML, "thinking": DROPS_THINKING, "none": None}[request.param])


def test_the_sequence_of_a_turn_is_a_prefix_of_the_next_turns_prompt(any_encoder: Encoder) -> None:
    history: tuple[tuple[str, str], ...] = ()
    before: tuple[int, ...] = ()
    for message in ASKED:
        prompt = any_encoder.prompt(Prompt(history, message))
        assert prompt[: len(before)] == before
        reply = f"<think>想</think>{POLITE}"
        before = (*prompt, *any_encoder.response(reply))
        history = (*history, (message, reply))


def test_a_response_is_closed_by_exactly_one_end_token(any_encoder: Encoder) -> None:
    ids = any_encoder.response(POLITE)
    assert ids[-1] == any_encoder.end_id
    assert ids.count(any_encoder.end_id) == 1
    assert any_encoder.decode(ids) == POLITE


def test_padding_is_never_the_end_token() -> None:
    tokenizer = new_tokenizer(SENTENCES, 320)
    tokenizer.pad_token = tokenizer.eos_token
    encoder = Encoder.of(tokenizer)
    assert encoder.pad_id != encoder.end_id == tokenizer.eos_token_id


def test_without_an_end_token_there_is_no_sequence() -> None:
    tokenizer = new_tokenizer(SENTENCES, 320)
    tokenizer.chat_template = tokenizer.eos_token = None
    with pytest.raises(DataError, match="end token"):
        Encoder.of(tokenizer)


def test_the_prompt_of_a_first_turn_is_what_the_chat_template_renders(encoder: Encoder, tokenizer: Any) -> None:
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": ASKED[0]}], tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.decode(list(encoder.prompt(Prompt((), ASKED[0])))) == rendered


def test_a_system_message_opens_the_prompt(encoder: Encoder, tokenizer: Any) -> None:
    ids = encoder.prompt(Prompt((), ASKED[0], system="您是医生。"))
    assert "您是医生。" in tokenizer.decode(list(ids))
    assert ids[-3:] == encoder.prompt(Prompt((), ASKED[0]))[-3:]


def test_learning_from_a_dialogue_counts_what_the_doctor_says_and_its_end(encoder: Encoder) -> None:
    ids, spoken = encoder.dialogue(Dialogue(((ASKED[0], PLAIN), (ASKED[1], RUDE))))
    said = [token for token, mine in zip(ids, spoken, strict=True) if mine]
    assert tuple(said) == (*encoder.response(PLAIN), *encoder.response(RUDE))
    assert tuple(ids) == (*encoder.prompt(Prompt(((ASKED[0], PLAIN),), ASKED[1])), *encoder.response(RUDE))


LONG = Prompt(((ASKED[0], PLAIN), (ASKED[1], PLAIN)), ASKED[2], system="您是医生。")


def test_a_turn_that_fits_is_left_alone(encoder: Encoder) -> None:
    fitted = fit(encoder, LONG, [POLITE, PLAIN], 4096)
    assert fitted.prompt == encoder.prompt(LONG)
    assert (fitted.exchanges_cut, fitted.responses_cut) == (0, 0)


def test_the_oldest_exchanges_go_first_and_the_system_message_stays(encoder: Encoder) -> None:
    shorter = Prompt(LONG.history[1:], LONG.message, LONG.system)
    room = len(encoder.prompt(shorter)) + len(encoder.response(POLITE))
    fitted = fit(encoder, LONG, [POLITE, PLAIN], room)
    assert fitted.prompt == encoder.prompt(shorter)
    assert (fitted.exchanges_cut, fitted.responses_cut) == (1, 0)


def test_one_cut_serves_all_responses_of_a_turn(encoder: Encoder) -> None:
    fitted = fit(encoder, LONG, [POLITE * 3, PLAIN], 120)
    assert fitted.responses[1] == encoder.response(PLAIN)
    assert all(len(ids) <= 120 for ids in fitted.sequences)
    assert len({tuple(ids[: len(fitted.prompt)]) for ids in fitted.sequences}) == 1


def test_a_response_that_alone_is_too_long_keeps_its_beginning_and_its_end_token(encoder: Encoder) -> None:
    fitted = fit(encoder, Prompt((), ASKED[0]), [POLITE * 30, PLAIN], 100)
    whole = encoder.response(POLITE * 30)
    assert fitted.responses_cut == 1
    assert fitted.responses[0][:-1] == whole[: len(fitted.responses[0]) - 1]
    assert fitted.responses[0][-1] == encoder.end_id
    assert len(fitted.sequences[0]) == 100
