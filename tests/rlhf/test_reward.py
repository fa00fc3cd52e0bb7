"""Training the reward model: its loss, what it trains, what it keeps, how it resumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import TaskType
from safetensors.torch import load_file

from annotation import snapshot as files
from rlhf import checkpoints, networks, reward
from rlhf.attention import Attention
from rlhf.checkpoints import Lineage
from rlhf.config import RewardConfig
from rlhf.data import DataError, Prompt
from rlhf.records import Records
from rlhf.scoring import Layout, collate, score_turns
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.rlhf.conftest import trainable_names
from tests.rlhf.material import PLAIN, POLITE, WRONG, scores_alone, turn_row

FAST = RewardConfig(epochs=2, batch_size=4, pack_tokens=128, save_every=2, lora_rank=2, learning_rate=1e-2)
ROWS = [
    {
        "dialogue": "d1",
        "sequences": [[5, 6, 7], [5, 6, 8, 9], [5, 6], [5, 9]],
        "pairs": [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]],
    },
    {"dialogue": "d2", "sequences": [[5, 7], [5, 8]], "pairs": []},
    {"dialogue": "d1", "sequences": [[5, 6, 3], [5, 6, 4, 4]], "pairs": [[1, 0]]},
]
FLAT = [ids for row in ROWS for ids in row["sequences"]]
STRICT = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (7, 6))
"""The pairs of ROWS as places in FLAT."""


def stage_of(folder: Path, base: Path, snapshot: Path) -> Stage:
    return Stage("reward", folder, {"base": base, "snapshot": snapshot}, Records(folder))


def scorer(base: Path, encoder: Encoder, dropout: float = 0.0) -> Any:
    torch.manual_seed(1)
    config = FAST.model_copy(update={"lora_dropout": dropout})
    model = networks.load_scorer(base, "float32", encoder.pad_id)
    return networks.with_adapter(model, networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"]))


def layout_of(model: Any, encoder: Encoder, tokens: int, *, shared: bool = True) -> Layout:
    return Layout(encoder.pad_id, tokens, Attention.of(model.config) if shared else None)


def test_a_pack_weighs_each_pair_by_its_turn_and_a_batch_counts_turns_with_a_pair() -> None:
    batch = collate(ROWS, Layout(0, 1000, None), strict_only=False)
    [pack] = batch["packs"]
    assert pack["inputs"]["input_ids"].shape == (8, 4)
    found = list(zip(pack["better"].tolist(), pack["worse"].tolist(), strict=True))
    assert found == [(2, 3), (2, 4), (2, 5), (3, 4), (3, 5), (7, 6)]  # the turn with the shortest rows stands first
    assert sorted(pack["weights"].tolist()) == pytest.approx([1 / comb(4, 2)] * 5 + [1 / comb(2, 2)])
    assert batch["turns"].item() == 2


def test_a_setting_averages_over_the_strict_pairs_instead() -> None:
    [pack] = collate(ROWS, Layout(0, 1000, None), strict_only=True)["packs"]
    assert sorted(pack["weights"].tolist()) == pytest.approx([1 / 5] * 5 + [1.0])


def test_the_turns_of_a_dialogue_stand_on_one_trie(base: Path, encoder: Encoder) -> None:
    """5 6 {7, 8 9, 3, 4 4} and 5 9 make nine tokens of the first dialogue, 5 7 and 5 8 three of the second."""
    layout = layout_of(scorer(base, encoder), encoder, 9)
    packs = layout.packs([row["sequences"] for row in ROWS], [row["dialogue"] for row in ROWS])
    assert [(pack.turns, pack.inputs["input_ids"].shape) for pack in packs] == [([0, 2], (1, 9)), ([1], (1, 3))]
    together = replace(layout, tokens=12).packs([row["sequences"] for row in ROWS], [row["dialogue"] for row in ROWS])
    assert [(pack.turns, pack.inputs["input_ids"].shape) for pack in together] == [([0, 2, 1], (1, 12))]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("tokens", [1, 9, 10, 1000])
def test_scores_come_in_the_order_of_the_sequences_however_they_are_laid_out(
    base: Path, encoder: Encoder, tokens: int, shared: bool
) -> None:
    model = scorer(base, encoder).eval()
    layout = layout_of(model, encoder, tokens, shared=shared)
    turns, dialogues = [row["sequences"] for row in ROWS], [row["dialogue"] for row in ROWS]
    found = score_turns(model, layout, turns, dialogues, torch.device("cpu"))
    assert [len(scores) for scores in found] == [4, 2, 2]
    assert [score for scores in found for score in scores] == pytest.approx(scores_alone(model, FLAT), abs=1e-6)


def test_what_fills_a_row_changes_no_score(base: Path, encoder: Encoder) -> None:
    model = scorer(base, encoder).eval()
    turn = [[5, 6, 7, encoder.end_id], [5] * 9]
    for pad in (encoder.pad_id, encoder.end_id, 7):
        found = score_turns(model, Layout(pad, 1000, None), [turn], ["d"], torch.device("cpu"))
        assert found[0] == pytest.approx(scores_alone(model, turn), abs=1e-6)


def trainer_of(
    model: Any,
    base: Path,
    encoder: Encoder,
    folder: Path,
    config: RewardConfig,
    *,
    shared: bool = True,
    rows: Sequence[dict[str, Any]] = ROWS,
) -> Any:
    """A trainer on the three turns."""
    trainer = reward.KWiseRewardTrainer(
        model=model,
        args=reward._arguments(config, folder),
        processing_class=networks.load_tokenizer(base),
        train_dataset=Dataset.from_list(list(rows)),
        eval_dataset=Dataset.from_list(list(rows)),
        data_collator=list,
    )
    trainer.begin(folder, Records(folder), Lineage("reward", {}, {}), config, "test")
    trainer.lay_out(layout_of(model, encoder, config.pack_tokens, shared=shared), strict_only=False)
    return trainer


def trained_step(
    base: Path,
    encoder: Encoder,
    folder: Path,
    tokens: int,
    *,
    shared: bool,
    rows: Sequence[dict[str, Any]] = ROWS,
    centring: float = 0.0,
) -> tuple[float, dict[str, Any]]:
    """Loss and weights after one optimiser step on the same three turns."""
    changes = {"batch_size": 4, "pack_tokens": tokens, "epochs": 1.0, "centring": centring}
    config = FAST.model_copy(update=changes)
    trainer = trainer_of(scorer(base, encoder), base, encoder, folder, config, shared=shared, rows=rows)
    trainer.train_or_resume()
    loss = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    return loss, {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}


def log_sigmoid(margin: float) -> float:
    return torch.nn.functional.logsigmoid(torch.tensor(margin)).item()


def test_the_loss_of_a_step_does_not_depend_on_how_it_is_packed(base: Path, encoder: Encoder, tmp_path: Path) -> None:
    scores = scores_alone(scorer(base, encoder).eval(), FLAT)
    losses = [-log_sigmoid(scores[better] - scores[worse]) for better, worse in STRICT]
    by_hand = (sum(losses[:5]) / 6 + losses[5]) / 2  # the second turn has no pair, so it leaves the denominator
    cases = [(1, True), (9, True), (1000, True), (1, False), (1000, False)]
    results = [trained_step(base, encoder, tmp_path / f"{case}", case[0], shared=case[1]) for case in cases]
    for loss, weights in results:
        assert loss == pytest.approx(by_hand, abs=1e-5)
        for name, weight in weights.items():
            assert torch.allclose(weight, results[0][1][name], atol=1e-6), name


def test_weights_margins_and_centring_are_those_of_the_turns_however_they_are_packed(
    base: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """The second turn has no pair, so it is neither counted nor centred: the divisor is 0.5 + 2."""
    told: list[dict[str, Any]] = [
        {"weight": 0.5, "margins": [0.0, 1.0, 0.0, 0.0, 2.0]}, {"weight": 7.0, "margins": []},
        {"weight": 2.0, "margins": [0.5]},
    ]  # fmt: skip
    rows = [{**row, **more} for row, more in zip(ROWS, told, strict=True)]
    scores = scores_alone(scorer(base, encoder).eval(), FLAT)
    margins = [*told[0]["margins"], *told[2]["margins"]]
    losses = [-log_sigmoid(scores[b] - scores[w] - m) for (b, w), m in zip(STRICT, margins, strict=True)]
    centred = 0.5 * (2 * sum(scores[:4]) / 4) ** 2 + 2 * (2 * sum(scores[6:]) / 2) ** 2
    by_hand = (0.5 * sum(losses[:5]) / 6 + 2 * losses[5] + 0.1 * centred) / 2.5
    cases = [(1, True), (1000, True), (16, False)]
    results = [
        trained_step(base, encoder, tmp_path / f"{case}", case[0], shared=case[1], rows=rows, centring=0.1)
        for case in cases
    ]
    for loss, weights in results:
        assert loss == pytest.approx(by_hand, abs=1e-5)
        for name, weight in weights.items():
            assert torch.allclose(weight, results[0][1][name], atol=1e-6), name


def test_validation_sums_over_all_turns_and_divides_once(base: Path, encoder: Encoder, tmp_path: Path) -> None:
    """One turn to a pack, so that means of means would differ: 6 strict pairs in 2 turns, and one turn without."""
    model = scorer(base, encoder)
    scores = scores_alone(model.eval(), FLAT)
    margins = [scores[better] - scores[worse] for better, worse in STRICT]
    losses = [-log_sigmoid(margin) for margin in margins]
    trainer = trainer_of(model, base, encoder, tmp_path, FAST.model_copy(update={"pack_tokens": 16}))
    measured = trainer.evaluate()
    assert measured["eval_loss"] == pytest.approx((sum(losses[:5]) / 6 + losses[5]) / 2, abs=1e-5)
    assert measured["eval_accuracy"] == pytest.approx(sum(margin > 0 for margin in margins) / 6)


def test_each_epoch_has_an_order_of_its_own_and_keeps_dialogues_together() -> None:
    names = [f"d{number // 3}" for number in range(30)]
    sampler = reward.DialogueSampler(names, seed=0)
    first = list(sampler)
    assert sorted(first) == list(range(30))
    assert [first[i : i + 3] for i in range(0, 30, 3)] == [[n, n + 1, n + 2] for n in first[::3]]
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_only_the_adapter_and_the_head_are_trained_in_float32(base: Path, encoder: Encoder) -> None:
    model = networks.load_scorer(base, "bfloat16", encoder.pad_id)
    model = networks.with_adapter(model, networks.lora(FAST, TaskType.SEQ_CLS, modules_to_save=["score"]))
    names = trainable_names(model)
    assert all("lora_" in name or "score.modules_to_save" in name for name in names)
    assert any("score" in name for name in names)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert torch.bfloat16 in {p.dtype for p in model.parameters() if not p.requires_grad}


@pytest.fixture(scope="module")
def finished(
    base: Path, snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A whole run on the tiny model."""
    folder = tmp_path_factory.mktemp("reward") / "run"
    return folder, reward.run(stage_of(folder, base, snapshot_folder), FAST)


def test_a_run_learns_what_the_rankings_say(finished: tuple[Path, dict[str, Any]]) -> None:
    _, result = finished
    assert (result["train_turns"], result["validation_turns"], result["steps"]) == (8, 2, 4)
    assert result["validation_accuracy"] > 0.9
    assert result["accuracy"]["value"] > 0.9
    assert result["accuracy"]["n"] == 10


def test_training_turns_that_the_model_contradicts_are_named_beside_held_out_ones(
    base: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    upside_down = [{"better": 3, "worse": 0, "ability": 1, "provenance": "adjudicated"}]
    rows = [turn_row(n, **({"pairs": upside_down} if n in (3, 11) else {})) for n in range(12)]
    files.write(tmp_path / "s", {"snapshot": "1-1"}, [(files.TURNS, row) for row in rows])
    result = reward.run(stage_of(tmp_path / "run", base, tmp_path / "s"), FAST)
    named = {(each["dialogue"], each["split"]): each for each in result["disagreements"]}
    assert {("d3", "train"), ("d11", "report")} <= named.keys()
    assert (named["d3", "train"]["better"], named["d3", "train"]["worse"]) == (3, 0)
    assert all(each["margin"] > 0 for each in named.values())


def test_a_run_leaves_a_model_that_other_tools_load(finished: tuple[Path, dict[str, Any]], base: Path) -> None:
    """Nothing of ours is called: an adapter for a sequence classifier, its tokenizer and chat template, a padded batch.

    The scores are those that our own reading of the same texts gives, each at its end token.
    """
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer

    folder = str(finished[0] / checkpoints.MODEL)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = [("头痛三天了。", POLITE), ("孩子发烧怎么办？", PLAIN), ("头痛三天了。", WRONG)]
    rows = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in said]
    batch = tokenizer.apply_chat_template(rows, padding=True, return_tensors="pt", return_dict=True)
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    loaded.config.pad_token_id = tokenizer.pad_token_id
    with torch.no_grad():
        theirs = loaded.eval()(**batch).logits.flatten().tolist()

    encoder = Encoder.of(networks.load_tokenizer(base))
    texts = [[*encoder.prompt(Prompt((), q)), *encoder.response(a)] for q, a in said]
    ours = networks.load_reward_model(base, Path(folder), "float32", encoder.pad_id)
    assert scores_alone(ours, texts) == pytest.approx(theirs, abs=1e-5)
    assert max(theirs) - min(theirs) > 0.1


def test_a_model_says_where_it_comes_from(
    finished: tuple[Path, dict[str, Any]], base: Path, snapshot_folder: Path
) -> None:
    lineage = Lineage.read(finished[0] / checkpoints.MODEL)
    assert lineage.inputs["base"]["sha256"] == checkpoints.hash_folder(base)
    assert lineage.inputs["snapshot"]["sha256"] == checkpoints.hash_file(snapshot_folder / files.MANIFEST)
    assert lineage.config["seed"] == FAST.seed
    assert lineage.stage == "reward"


def test_the_scale_of_the_scores_is_kept_with_the_model(finished: tuple[Path, dict[str, Any]]) -> None:
    mean, deviation = networks.read_scale(finished[0] / checkpoints.MODEL)
    assert deviation > 0
    assert abs(mean) < 100


def test_the_records_tell_how_it_went(finished: tuple[Path, dict[str, Any]]) -> None:
    rows = [json.loads(line) for line in (finished[0] / "records.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row.get("values", {})] == [1, 2, 3, 4]
    assert any("eval_accuracy" in row.get("values", {}) for row in rows)
    assert max(row["progress"]["step"] for row in rows if "progress" in row) == 4


class KilledError(Exception):
    """Stands for a kill at a certain step."""


def test_a_killed_run_resumes_and_ends_as_if_nothing_had_happened(
    base: Path,
    snapshot_folder: Path,
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = reward.KWiseRewardTrainer.compute_loss

    def dies_in_the_third_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 3:
            raise KilledError
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(reward.KWiseRewardTrainer, "compute_loss", dies_in_the_third_step)
        with pytest.raises(KilledError):
            reward.run(stage_of(tmp_path, base, snapshot_folder), FAST)
    assert [each.name for each in checkpoints.complete_ones(tmp_path)] == ["step-0000002"]
    reward.run(stage_of(tmp_path, base, snapshot_folder), FAST)
    assert "resumed" in (tmp_path / "records.jsonl").read_text()
    name = networks.ADAPTER_WEIGHTS
    undisturbed = load_file(finished[0] / checkpoints.MODEL / name)
    resumed = load_file(tmp_path / checkpoints.MODEL / name)
    assert all(torch.equal(resumed[key], weight) for key, weight in undisturbed.items())


IMPATIENT = FAST.model_copy(update={"patience": 2, "save_every": 1, "learning_rate": 1e-12})
"""Nothing is learnt, so the first validation stays the best: patience ends after the third of four steps."""


def test_a_run_that_gets_no_better_stops_early_and_where_it_would_though_it_was_killed(
    base: Path, snapshot_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = reward.run(stage_of(tmp_path / "undisturbed", base, snapshot_folder), IMPATIENT)
    assert (undisturbed["steps"], undisturbed["best_step"]) == (3, 1)
    original = reward.KWiseRewardTrainer.compute_loss
    steps: list[int] = []

    def dies_in_the_third_step_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(self.state.global_step)
        if steps.count(2) == 1 and steps[-1] == 2:
            raise KilledError
        return original(self, *args, **kwargs)

    def dies(*_: Any) -> None:
        raise KilledError

    monkeypatch.setattr(reward.KWiseRewardTrainer, "compute_loss", dies_in_the_third_step_once)
    with pytest.raises(KilledError):
        reward.run(stage_of(tmp_path / "killed", base, snapshot_folder), IMPATIENT)
    with monkeypatch.context() as patched:
        patched.setattr(reward, "_save", dies)
        with pytest.raises(KilledError):
            reward.run(stage_of(tmp_path / "killed", base, snapshot_folder), IMPATIENT)
    trained = len(steps)
    resumed = reward.run(stage_of(tmp_path / "killed", base, snapshot_folder), IMPATIENT)
    assert len(steps) == trained  # it had stopped: nothing but its end was left to do
    assert (resumed["steps"], resumed["best_step"]) == (3, 1)
    name = networks.ADAPTER_WEIGHTS
    models = [load_file(tmp_path / each / checkpoints.MODEL / name) for each in ("undisturbed", "killed")]
    assert all(torch.equal(models[1][key], weight) for key, weight in models[0].items())
    rows = [json.loads(line) for line in (tmp_path / "killed" / "records.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row.get("event") == "stopped early"] == [3]


def test_a_snapshot_without_validation_is_refused(base: Path, tmp_path: Path) -> None:
    files.write(tmp_path / "s", {}, [(files.TURNS, turn_row(0))])
    with pytest.raises(DataError, match="no validation turn"):
        reward.run(stage_of(tmp_path / "run", base, tmp_path / "s"), FAST)


def test_what_is_too_long_is_cut_and_counted(base: Path, snapshot_folder: Path, tmp_path: Path) -> None:
    short = FAST.model_copy(update={"max_length": 48, "epochs": 1.0})
    reward.run(stage_of(tmp_path, base, snapshot_folder), short)
    rows = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    [cut] = [row["values"] for row in rows if row.get("event") == "sequences cut"]
    assert cut["turns"] == 10
    assert cut["turns_cut"] + cut["responses_cut"] > 0
