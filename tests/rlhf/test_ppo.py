"""PPO: four networks over one base, each trained by its own loss alone, and a run that can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rlhf import checkpoints, networks, ppo, reward, sft
from rlhf.answered import Answered, Laid, in_rows
from rlhf.checkpoints import CheckpointError
from rlhf.config import PpoConfig, RewardConfig, SftConfig
from rlhf.data import DataError, Prompt, Snapshot, prompts_to_train_on
from rlhf.engines import Generate
from rlhf.quartet import Quartet
from rlhf.records import Records, read_rows
from rlhf.rollout import RolloutLoader, answer, grouped, judge
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.rlhf.conftest import trainable_names
from tests.rlhf.material import PLAIN, POLITE, scores_alone

CONFIG = PpoConfig(
    rollout_size=8,
    batch_size=4,
    micro_batch_size=2,
    ppo_epochs=2,
    epochs=3.0,
    max_new_tokens=8,
    max_length=128,
    save_every=4,
    lora_rank=2,
    learning_rate=5e-3,
    critic_learning_rate=5e-3,
    compared=2,
    despite_gate=True,
    kl_target=0.5,
    kl_horizon=20,
)


@pytest.fixture(scope="module")
def reward_model(base: Path, snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished reward run."""
    folder = tmp_path_factory.mktemp("ppo-reward") / "run"
    config = RewardConfig(epochs=1, batch_size=4, save_every=1, lora_rank=2, learning_rate=1e-2)
    reward.run(Stage("reward", folder, {"base": base, "snapshot": snapshot_folder}, Records(folder)), config)
    return folder / checkpoints.MODEL


@pytest.fixture(scope="module")
def policy(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fine-tuning run."""
    folder = tmp_path_factory.mktemp("ppo-policy") / "run"
    data = folder.parent / "dialogues.jsonl"
    asked = [{"role": "user", "content": "头痛三天了。"}, {"role": "assistant", "content": PLAIN}]
    data.write_text("\n".join([json.dumps({"messages": asked})] * 8), encoding="utf-8")
    config = SftConfig(epochs=2, batch_size=4, micro_batch_size=4, lora_rank=2, learning_rate=1e-2)
    sft.run(Stage("sft", folder, {"base": base, "data": data}, Records(folder)), config)
    return folder / checkpoints.MODEL


@pytest.fixture
def quartet(base: Path, policy: Path, reward_model: Path) -> Quartet:
    torch.manual_seed(0)
    return Quartet(base, policy, reward_model, CONFIG)


@pytest.fixture
def answered(quartet: Quartet, encoder: Encoder) -> Answered:
    prompts = [encoder.prompt(Prompt((), f"头痛{n}天了。")) for n in range(4)]
    torch.manual_seed(5)
    return answer(Generate(quartet, encoder, 16), encoder, prompts, CONFIG)


def laid(answered: Answered) -> Laid:
    return in_rows(answered, torch.device("cpu"))


def plain_log_probs(model: Any, answered: Answered) -> Tensor:
    """Of the response tokens, each response alone, from the whole softmax."""
    found = []
    for prompt, response in answered.flat:
        logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
        found.append(torch.log_softmax(logits.float(), dim=-1).gather(-1, torch.tensor(response)[:, None]).squeeze(-1))
    return torch.cat(found)


def base_weights(quartet: Quartet) -> dict[str, Tensor]:
    kept = {name: p for name, p in quartet.model.named_parameters() if "lora_" not in name}
    return {name: p.detach().clone() for name, p in kept.items()}


def test_policy_and_reference_say_the_same_before_any_update(quartet: Quartet, answered: Answered) -> None:
    assert torch.equal(quartet("policy", laid(answered)), quartet("reference", laid(answered)))


def test_the_policy_starts_as_the_fine_tuned_model(
    quartet: Quartet, base: Path, policy: Path, answered: Answered
) -> None:
    model = networks.load_policy(base, policy, "float32").eval()
    assert torch.allclose(quartet("policy", laid(answered)), plain_log_probs(model, answered), atol=1e-5)


def test_the_score_is_the_reward_models_normalised_and_read_at_the_last_token(
    quartet: Quartet, base: Path, reward_model: Path, encoder: Encoder
) -> None:
    prompt = encoder.prompt(Prompt((), "头痛三天了。"))
    responses = [encoder.response(POLITE), encoder.response(PLAIN)[:-1]]
    both = grouped([prompt, prompt], responses, encoder)
    assert both.ended.tolist() == [True, False]
    model = networks.load_reward_model(base, reward_model, "float32", encoder.pad_id)
    sequences = [[*prompt, *response] for response in responses]
    plain = torch.tensor(scores_alone(model, sequences))
    mean, deviation = networks.read_scale(reward_model)
    assert torch.allclose(quartet.scores(laid(both)), (plain - mean) / deviation, atol=1e-4)


def test_the_critic_starts_as_the_reward_model_on_the_scale_of_the_normalised_score(
    quartet: Quartet, encoder: Encoder
) -> None:
    """The value of the state before a token is what the reward model would say of the text up to there."""
    prompt, response = encoder.prompt(Prompt((), "头痛三天了。")), encoder.response(PLAIN)
    whole = grouped([prompt], [response], encoder)
    values = quartet("critic", laid(whole))
    for number in range(1, len(response)):
        so_far = grouped([prompt], [response[:number]], encoder)
        assert values[number].item() == pytest.approx(quartet.scores(laid(so_far)).item(), abs=1e-4)


CHECKPOINTING = CONFIG.model_copy(update={"gradient_checkpointing": True})


@pytest.mark.parametrize("config", [CONFIG, CHECKPOINTING], ids=["kept", "recomputed"])
def test_the_gradients_of_policy_and_critic_are_those_of_separate_runs(
    base: Path, policy: Path, reward_model: Path, answered: Answered, config: PpoConfig
) -> None:
    def loss(quartet: Quartet, adapter: Any) -> Tensor:
        return (quartet(adapter, laid(answered)) ** 2).sum()

    def gradients(config: PpoConfig, *adapters: Any) -> dict[str, Tensor]:
        quartet = Quartet(base, policy, reward_model, config)
        quartet.train()
        assert quartet.causal.is_gradient_checkpointing == config.gradient_checkpointing
        for adapter in adapters:
            loss(quartet, adapter).backward()
        return {name: p.grad for name, p in quartet.named_parameters() if p.grad is not None}

    together, apart = (
        gradients(config, "policy", "critic"),
        {**gradients(CONFIG, "policy"), **gradients(CONFIG, "critic")},
    )
    assert together.keys() == apart.keys()
    assert any(".policy." in name for name in together)
    assert any(".critic." in name for name in together)
    assert not any(".reference." in name or ".reward." in name for name in together)
    for name, gradient in apart.items():
        assert torch.allclose(together[name], gradient, rtol=1e-5, atol=1e-8), name


def test_value_and_score_are_float32_inside_autocast(quartet: Quartet, answered: Answered) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = {"value": quartet("critic", laid(answered)), "score": quartet.scores(laid(answered))}
    for name, numbers in said.items():
        assert numbers.dtype == torch.float32, name
        assert not torch.equal(numbers, numbers.bfloat16().float()), name


def test_only_policy_and_critic_are_trained_whichever_adapter_spoke_last(quartet: Quartet, answered: Answered) -> None:
    for adapter in ("reward", "reference", "critic", "policy"):
        quartet.use(adapter)  # type: ignore[arg-type]
        names = trainable_names(quartet)
        assert {name.split(".")[-2] for name in names if "lora_" in name} == {"policy", "critic"}
        assert {name for name in names if "lora_" not in name} == {"value_head.weight", "value_head.bias"}


def test_a_rollout_is_judged_by_score_divergence_and_a_missing_end(
    quartet: Quartet, answered: Answered, encoder: Encoder
) -> None:
    free = CONFIG.model_copy(update={"missing_end_penalty": 0.0, "gamma": 1.0, "gae_lambda": 1.0})
    dear = free.model_copy(update={"missing_end_penalty": 3.0})
    rollout, watched, _ = judge(quartet, answered, free)
    punished, _, _ = judge(quartet, answered, dear)
    # Without discount and with lambda 1 the return of the first token is the whole reward, and divergence is zero.
    scores = quartet.scores(laid(answered))
    assert torch.allclose(rollout.returns[:, 0], scores, atol=1e-4)
    difference = rollout.returns[:, 0] - punished.returns[:, 0]
    assert torch.allclose(difference, 3.0 * (~answered.ended).float(), atol=1e-4)
    assert watched["kl"] == pytest.approx(0, abs=1e-5)
    assert watched["score"] == pytest.approx(scores.mean().item(), abs=1e-4)


def test_sampled_responses_stop_at_their_end_token(answered: Answered, encoder: Encoder) -> None:
    for (_, response), ended in zip(answered.flat, answered.ended.tolist(), strict=True):
        assert (encoder.end_id in response) == ended
        assert encoder.end_id not in response[:-1]


def test_the_loader_goes_through_each_rollout_as_often_as_told(quartet: Quartet, answered: Answered) -> None:
    rollout, _, _ = judge(quartet, answered, CONFIG)
    config = CONFIG.model_copy(update={"rollout_size": 4, "batch_size": 4})
    loader = RolloutLoader(lambda: rollout, 3, config, seed=1)
    batches = list(loader)
    assert len(batches) == len(loader) == 3 * 2 * 2
    seen = [pair for batch in batches[:2] for pair in batch["rollout"].answered.flat]
    assert sorted(seen) == sorted(answered.flat)


def run(folder: Path, base: Path, policy: Path, reward_model: Path, snapshot: Path, config: PpoConfig = CONFIG) -> Any:
    paths = {"base": base, "policy": policy, "reward": reward_model, "snapshot": snapshot}
    return ppo.run(Stage("ppo", folder, paths, Records(folder)), config)


@pytest.fixture(scope="module")
def finished(
    base: Path, policy: Path, reward_model: Path, snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A whole run on the tiny model."""
    folder = tmp_path_factory.mktemp("ppo") / "run"
    return folder, run(folder, base, policy, reward_model, snapshot_folder)


def test_a_run_takes_its_steps_and_compares_before_and_after(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, result = finished
    assert (result["prompts"], result["rollouts"], result["steps"]) == (8, 3, 12)
    assert result["kl_before"] == 0
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [s["dialogue"] for s in samples] in (["d10", "d11"], ["d11", "d10"])
    assert {"text", "score", "tokens", "ended", "kl"} == samples[0]["after"].keys()


def test_recomputing_activations_leaves_the_run_as_it_is(
    finished: tuple[Path, dict[str, Any]],
    base: Path,
    policy: Path,
    reward_model: Path,
    snapshot_folder: Path,
    tmp_path: Path,
) -> None:
    run(tmp_path, base, policy, reward_model, snapshot_folder, CHECKPOINTING)
    for file in (networks.ADAPTER_WEIGHTS, f"critic/{networks.ADAPTER_WEIGHTS}"):
        kept = load_file(finished[0] / checkpoints.MODEL / file)
        recomputed = load_file(tmp_path / checkpoints.MODEL / file)
        assert all(torch.allclose(recomputed[name], weight, atol=1e-5) for name, weight in kept.items()), file


def test_adapters_of_another_base_are_refused(
    other_base: Path, policy: Path, reward_model: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="was trained on the base"):
        run(tmp_path, other_base, policy, reward_model, snapshot_folder)


def test_a_policy_may_start_where_another_ppo_run_ended(
    finished: tuple[Path, dict[str, Any]], base: Path, reward_model: Path, tmp_path: Path
) -> None:
    ended = finished[0] / checkpoints.MODEL
    paths = {"base": base, "policy": ended, "reward": reward_model}
    Stage("ppo", tmp_path, paths, Records(tmp_path)).require_same_base()


def test_prompts_are_apart_from_what_validates_and_reports(snapshot_folder: Path) -> None:
    snapshot = Snapshot.load(snapshot_folder)
    held_out = {t.prompt for t in (*snapshot.part("validation"), *snapshot.part("report"))}
    assert not held_out & set(prompts_to_train_on(snapshot, None))


def test_the_policy_that_comes_out_is_an_ordinary_adapter(finished: tuple[Path, dict[str, Any]], base: Path) -> None:
    model = finished[0] / checkpoints.MODEL
    assert checkpoints.is_complete(model)
    loaded = networks.load_policy(base, model, "float32")
    assert loaded.generate(input_ids=torch.tensor([[5, 6]]), max_new_tokens=2, do_sample=False).shape[1] <= 4


def test_the_base_is_bit_identical_after_a_run(
    base: Path, policy: Path, reward_model: Path, encoder: Encoder, tmp_path: Path
) -> None:
    quartet = Quartet(base, policy, reward_model, CONFIG)
    before = base_weights(quartet)
    frozen = {n: p.detach().clone() for n, p in quartet.named_parameters() if ".reference." in n or ".reward." in n}
    prompts = [encoder.prompt(Prompt((), f"头痛{n}天了。")) for n in range(8)]
    trainer = ppo.PpoTrainer(quartet, encoder, prompts, CONFIG, tmp_path)
    lineage = Stage("ppo", tmp_path, {}, Records(tmp_path)).lineage(CONFIG)
    trainer.begin(tmp_path, Records(tmp_path), lineage, CONFIG, "test")
    trained = {n: p.detach().clone() for n, p in quartet.named_parameters() if p.requires_grad}
    trainer.train_or_resume()
    now = dict(quartet.named_parameters())
    assert all(torch.equal(quartet.model.get_parameter(name), weight) for name, weight in before.items())
    assert all(torch.equal(now[name], weight) for name, weight in frozen.items())
    assert any(not torch.equal(now[name], weight) for name, weight in trained.items() if ".policy." in name)
    assert any(not torch.equal(now[name], weight) for name, weight in trained.items() if ".critic." in name)


class KilledError(Exception):
    """Stands for a kill at a certain step."""


@pytest.mark.parametrize("at", ["an update", "a rollout"])
def test_a_killed_run_resumes_at_its_last_rollout_and_ends_as_if_nothing_had_happened(
    at: str,
    base: Path,
    policy: Path,
    reward_model: Path,
    snapshot_folder: Path,
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "training_step" if at == "an update" else "_next_rollout"
    original = getattr(ppo.PpoTrainer, name)

    def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == (6 if at == "an update" else 8):
            raise KilledError
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(ppo.PpoTrainer, name, dies)
        with pytest.raises(KilledError):
            run(tmp_path, base, policy, reward_model, snapshot_folder)
    kept = [checkpoints.step_of(each) for each in checkpoints.complete_ones(tmp_path)]
    assert kept == ([4] if at == "an update" else [4, 8])
    run(tmp_path, base, policy, reward_model, snapshot_folder)
    for file in (networks.ADAPTER_WEIGHTS, f"critic/{networks.ADAPTER_WEIGHTS}"):
        undisturbed = load_file(finished[0] / checkpoints.MODEL / file)
        resumed = load_file(tmp_path / checkpoints.MODEL / file)
        assert all(torch.equal(resumed[key], weight) for key, weight in undisturbed.items()), file


def test_checkpoints_stand_at_rollout_boundaries(finished: tuple[Path, dict[str, Any]]) -> None:
    steps = [checkpoints.step_of(folder) for folder in checkpoints.complete_ones(finished[0])]
    assert steps == [8, 12]


def test_a_reward_model_that_knows_no_more_than_length_is_refused_unless_told(
    base: Path, policy: Path, reward_model: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    file = reward_model / "evaluation.json"
    before = file.read_text()
    try:
        file.write_text(json.dumps({"accuracy": {"low": 0.6}, "longer_wins": {"value": 0.61}}))
        strict = CONFIG.model_copy(update={"despite_gate": False})
        with pytest.raises(DataError, match="not shown to know more than length"):
            run(tmp_path / "refused", base, policy, reward_model, snapshot_folder, strict)
        run(tmp_path / "told", base, policy, reward_model, snapshot_folder, CONFIG.model_copy(update={"epochs": 1.0}))
        assert "gate overridden" in (tmp_path / "told" / "records.jsonl").read_text()
    finally:
        file.write_text(before)


def test_without_a_fine_tuned_adapter_the_base_itself_is_the_start(
    base: Path, reward_model: Path, answered: Answered
) -> None:
    quartet = Quartet(base, None, reward_model, CONFIG)
    plain = networks.load_causal(base, "float32").eval()
    assert torch.allclose(quartet("policy", laid(answered)), plain_log_probs(plain, answered), atol=1e-5)


def test_the_price_of_divergence_adapts_and_a_checkpoint_keeps_it(finished: tuple[Path, dict[str, Any]]) -> None:
    rows = [json.loads(line).get("values", {}) for line in (finished[0] / "records.jsonl").read_text().splitlines()]
    told = [(row["rollout/kl"], row["rollout/kl_coefficient"]) for row in rows if "rollout/kl" in row]
    prices = [0.05]
    for kl, _ in told:
        prices.append(prices[-1] * (1 + 0.4 * min(max(kl / 0.5 - 1, -0.2), 0.2)))  # 8 responses of a horizon of 20
    assert [price for _, price in told] == pytest.approx(prices[:3])
    kept = checkpoints.complete_ones(finished[0])[-1] / "running.json"
    assert json.loads(kept.read_text(encoding="utf-8"))["kl_coefficient"] == pytest.approx(prices[3])


def test_policy_and_critic_have_rates_of_their_own_and_the_epsilon_that_was_asked_for(
    quartet: Quartet, encoder: Encoder, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e-3, "critic_learning_rate": 2e-3, "adam_epsilon": 3e-5})
    groups = ppo.PpoTrainer(quartet, encoder, [[5]], config, tmp_path).create_optimizer().param_groups
    assert [(group["lr"], group["eps"]) for group in groups] == [(1e-3, 3e-5), (2e-3, 3e-5)]
    assert [len(group["params"]) for group in groups] == [
        len(quartet.trained("policy")),
        len(quartet.trained("critic")),
    ]


def test_probabilities_are_the_same_in_training_as_in_the_rollout(quartet: Quartet, answered: Answered) -> None:
    """No dropout: the ratio of the first step is 1, and nothing but the update moves it."""
    rollout, _, _ = judge(quartet, answered, CONFIG)
    quartet.train()
    assert torch.allclose(quartet("policy", laid(answered)), rollout.log_probs[rollout.token_mask], atol=1e-6)


def test_a_dry_run_says_what_a_run_would_take_and_leaves_no_model(
    base: Path, policy: Path, reward_model: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    result = run(
        tmp_path,
        base,
        policy,
        reward_model,
        snapshot_folder,
        CONFIG.model_copy(update={"dry_run": True, "save_every": 1}),
    )
    assert (result["dry_run"], result["rollouts"], result["rollouts_of_whole_run"], result["steps"]) == (True, 1, 3, 4)
    assert min(result[f"seconds_{what}"] for what in ("answering", "judging", "updating")) > 0
    assert result["peak_memory_mb"] > 100
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


def test_a_run_whose_alarms_do_not_cease_stops_early_and_says_so(
    base: Path, policy: Path, reward_model: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    alarmed = CONFIG.model_copy(update={"alarm_score_shift": 1e-6, "abort_after": 1, "log_every": 1})
    result = run(tmp_path, base, policy, reward_model, snapshot_folder, alarmed)
    assert (result["stopped_early"], result["rollouts"], result["steps"]) == (True, 1, 4)
    events = [row for row in read_rows(tmp_path / "records.jsonl") if "event" in row]
    named = [(row["event"], row["step"]) for row in events if row["event"] != "checkpoint"]
    assert named == [("score shift alarm", 4), ("stopped by alarms", 4)]
    assert checkpoints.is_complete(tmp_path / checkpoints.MODEL)
