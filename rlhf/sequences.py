"""The canonical sequence: prompt ids (with the generation prompt), response ids, one end token.

The same ids serve training, scoring, sampling and history, so a sequence of a turn is always a prefix of the next
turn's prompt. A chat template is only read for the pieces between the texts; what it would do to the history beyond
that (dropping the thinking of earlier replies, say) does not happen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rlhf.data import DataError, Dialogue, Exchange, Prompt
from rlhf.records import N_

Ids = tuple[int, ...]
USER, REPLY, AGAIN, SYSTEM = "§user§", "§reply§", "§again§", "§system§"


@dataclass(frozen=True)
class Pieces:
    """The text around what is said, taken from a chat template.

    ``opening`` stands before the first message, ``answer`` between a message and its reply, ``between`` between the
    end token after a reply and the next message. ``with_system`` is the opening around a system message.
    """

    opening: str
    answer: str
    between: str
    with_system: tuple[str, str] | None


PLAIN = Pieces("<human>:", "\n<bot>:", "\n<human>:", None)
"""For tokenizers without a chat template: the form of Ziya-LLaMA, on which Zhongjing is built."""


@dataclass(frozen=True)
class Encoder:
    """Turns prompts and responses into ids with one tokenizer."""

    tokenizer: Any
    pieces: Pieces
    end_id: int
    pad_id: int

    @classmethod
    def of(cls, tokenizer: Any) -> Encoder:
        """The encoder of a tokenizer; raises DataError where it has no end token to close a response with."""
        pieces, end_text = _read_template(tokenizer) if tokenizer.chat_template else (_plain(tokenizer), None)
        end_id = tokenizer.eos_token_id if end_text is None else tokenizer.convert_tokens_to_ids(end_text)
        if end_id is None:
            raise DataError(N_("The tokenizer has no end token (eos_token), so no response could be closed: set one."))
        return cls(tokenizer, pieces, end_id, _pad_id(tokenizer, end_id))

    def prompt(self, prompt: Prompt) -> Ids:
        """The ids of a prompt, up to where the response begins."""
        return self._prompt(prompt.system, prompt.history, prompt.message)

    def response(self, text: str) -> Ids:
        """The ids of a response with its end token."""
        return (*self._text(text), self.end_id)

    def dialogue(self, dialogue: Dialogue) -> tuple[list[int], list[int]]:
        """The ids of a dialogue and, beside each, 1 where the doctor speaks (the end token included), else 0."""
        ids: list[int] = []
        spoken: list[int] = []
        for i, (message, reply) in enumerate(dialogue.exchanges):
            asked = self._asked(dialogue.system if i == 0 else None, message, first=i == 0)
            answered = self.response(reply)
            ids += [*asked, *answered]
            spoken += [0] * len(asked) + [1] * len(answered)
        return ids, spoken

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a response, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    @lru_cache(maxsize=4096)  # noqa: B019  (an encoder lives as long as its run)
    def _prompt(self, system: str | None, history: tuple[Exchange, ...], message: str) -> Ids:
        if not history:
            return self._asked(system, message, first=True)
        *earlier, (asked, replied) = history
        before = (*self._prompt(system, tuple(earlier), asked), *self.response(replied))
        return (*before, *self._asked(None, message, first=False))

    def _asked(self, system: str | None, message: str, *, first: bool) -> Ids:
        opening = self.pieces.opening if first else self.pieces.between
        if first and system is not None and self.pieces.with_system is not None:
            before, after = self.pieces.with_system
            opening = f"{before}{system}{after}"
        return self._text(f"{opening}{message}{self.pieces.answer}")

    def _text(self, text: str) -> Ids:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True)
class Fitted:
    """The sequences of a turn that fit a length: ``prompt`` is the same in all; what was cut is counted."""

    prompt: Ids
    responses: tuple[Ids, ...]
    exchanges_cut: int = 0
    responses_cut: int = 0

    @property
    def sequences(self) -> list[list[int]]:
        """Prompt and response of each, together."""
        return [[*self.prompt, *response] for response in self.responses]


def fit(encoder: Encoder, prompt: Prompt, responses: Sequence[str], max_length: int) -> Fitted:
    """Cuts a turn to ``max_length`` tokens: the oldest exchanges go first, one cut for all of its responses.

    The system message stays. A response that is still too long loses its end, but keeps its end token; a message that
    alone leaves no room loses its beginning.
    """
    encoded = [encoder.response(text) for text in responses]
    longest = max(map(len, encoded), default=1)
    history = prompt.history
    ids = encoder.prompt(prompt)
    while history and len(ids) + longest > max_length:
        history = history[1:]
        ids = encoder.prompt(Prompt(history, prompt.message, prompt.system))
    ids = ids[-max(max_length // 2, max_length - longest) :]
    room = max_length - len(ids)
    cut = tuple(each if len(each) <= room else (*each[: room - 1], encoder.end_id) for each in encoded)
    return Fitted(ids, cut, len(prompt.history) - len(history), sum(len(each) > room for each in encoded))


def _read_template(tokenizer: Any) -> tuple[Pieces, str | None]:
    """The pieces of a chat template, found by rendering texts that stand nowhere else, and its end token's text."""
    one = _render(tokenizer, [("user", USER)])
    opening, answer = one.split(USER)
    three = _render(tokenizer, [("user", USER), ("assistant", REPLY), ("user", AGAIN)])
    after_reply = three.split(REPLY)[1].split(AGAIN)[0]
    end = _leading_special(tokenizer, after_reply)
    between = after_reply.removeprefix(end) if end else after_reply
    try:
        before_system, rest = _render(tokenizer, [("system", SYSTEM), ("user", USER)]).split(SYSTEM)
        with_system = (before_system, rest.split(USER)[0])
    except Exception:  # noqa: BLE001  (templates raise whatever they like at a role they do not know)
        with_system = None
    return Pieces(opening, answer, between, with_system), end


def _render(tokenizer: Any, messages: Sequence[tuple[str, str]]) -> str:
    rows = [{"role": role, "content": content} for role, content in messages]
    return str(tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True))


def _leading_special(tokenizer: Any, text: str) -> str | None:
    """The special token that a text begins with, if it does."""
    known = sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len, reverse=True)
    return next((token for token in known if token and text.startswith(token)), None)


def _plain(tokenizer: Any) -> Pieces:
    return Pieces(f"{tokenizer.bos_token or ''}{PLAIN.opening}", PLAIN.answer, PLAIN.between, None)


def _pad_id(tokenizer: Any, end_id: int) -> int:
    """A token to fill rows with: never the end token, which has to be seen."""
    pad = tokenizer.pad_token_id
    return pad if pad is not None and pad != end_id else next(i for i in (0, 1) if i != end_id)
