"""The tokens that the planner expects are those that the training computes."""

from __future__ import annotations

from pathlib import Path

from annotation import snapshot
from rlhf.config import EvaluateConfig, RewardConfig, SftConfig
from rlhf.data import Snapshot
from rlhf.expected import Characters, expected_tokens, plain_encoder
from rlhf.packing import trie_of
from rlhf.sequences import Encoder, fit
from tests.rlhf.material import PLAIN, POLITE, RUDE, WRONG, turn_row

ROOMY = RewardConfig(pack_tokens=4096, max_length=512)


def test_the_tries_have_the_tokens_that_training_computes(snapshot_folder: Path, encoder: Encoder) -> None:
    turns = Snapshot.load(snapshot_folder).part("train")
    fitted = [fit(encoder, turn.prompt, turn.responses, 512).sequences for turn in turns]
    found = expected_tokens(snapshot_folder, encoder, ROOMY)
    assert found is not None
    assert (found.turns, found.counted) == (8, True)
    assert found.tries == sum(len(trie_of(sequences)) for sequences in fitted)
    assert found.rows == sum(len(ids) for sequences in fitted for ids in sequences)


def test_characters_stand_in_where_no_tokenizer_is_at_hand(tmp_path: Path) -> None:
    """One turn, five strict pairs (A and B in three, C and D in two); its prompt is shared by all four."""
    written = turn_row(0)
    snapshot.write(tmp_path / "s", {"campaign": "t", "k": 4, "guideline_version": 1}, [(snapshot.TURNS, written)])
    found = expected_tokens(tmp_path / "s", plain_encoder(None), ROOMY)
    assert found is not None
    assert not found.counted
    prompt = len("<human>:" + written["message"] + "\n<bot>:")
    polite, plain, rude, wrong = (len(text) + 1 for text in (POLITE, PLAIN, RUDE, WRONG))
    assert found.pairs == 10 * prompt + 3 * polite + 3 * plain + 2 * rude + 2 * wrong
    assert found.rows == 4 * prompt + polite + plain + rude + wrong
    assert found.tries == prompt + polite + plain + rude + wrong
    assert found.fewer_than_rows == found.rows / found.tries


def test_a_model_is_counted_with_its_own_tokenizer(base: Path, snapshot_folder: Path, encoder: Encoder) -> None:
    """Without the chat template: its few words around what is said are not the same."""
    assert not isinstance(plain_encoder(base).tokenizer, Characters)
    assert plain_encoder(base).response(POLITE)[:-1] == encoder.response(POLITE)[:-1]


def test_what_is_measured_is_the_part_for_reports(snapshot_folder: Path, encoder: Encoder) -> None:
    found = expected_tokens(snapshot_folder, encoder, EvaluateConfig())
    assert found is not None
    assert found.turns == 2


def test_some_turns_suffice_for_a_look(snapshot_folder: Path, encoder: Encoder) -> None:
    found = expected_tokens(snapshot_folder, encoder, ROOMY, most=3)
    assert found is not None
    assert found.turns == 3


def test_fine_tuning_goes_over_no_tries(snapshot_folder: Path, encoder: Encoder) -> None:
    assert expected_tokens(snapshot_folder, encoder, SftConfig()) is None
