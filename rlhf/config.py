"""The settings of each stage: frozen, complete, and refusing nonsense with a sentence that says the mend.

A stage reads them from a TOML file (``rlhf/configs``) and from ``--set name=value``; the admin's form shows the same
fields with the same descriptions. No torch here: the web reads this module.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Dtype = Literal["float32", "bfloat16", "float16"]
Parallel = Literal["ddp", "zero2"]
Attending = Literal["auto", "sdpa", "eager", "flex_attention"]


class ConfigError(ValueError):
    """Settings that cannot be; the message names each one and the mend."""


class Settings(BaseModel):
    """What all stages have in common: whole, frozen, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: ClassVar[str] = ""

    seed: int = Field(0, ge=0, description="Of every random choice of the run")
    threads: int = Field(0, ge=0, description="CPU threads for computing; 0 leaves it to torch")
    dtype: Dtype = Field("float32", description="In which the base model computes; heads and adapters stay float32")
    four_bit: bool = Field(
        False,
        description="Hold the base model in 4 bits (NF4): about a third of the memory; takes a GPU and bitsandbytes",
    )

    @classmethod
    def read(cls, file: Path | None = None, changes: dict[str, Any] | None = None) -> Self:
        """The settings of a TOML file, if given, with changes on top; raises ConfigError."""
        known = tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
        section = known.get(cls.stage, {}) if file else {}
        return cls.of({**section, **(changes or {})})

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The settings with these values; raises ConfigError naming every one that is wrong."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError("; ".join(_sentence(each) for each in error.errors())) from error


class Optimising(Settings):
    """What every stage that trains has in common. Batches are counted in turns (or texts), never in packs."""

    learning_rate: float = Field(1e-4, gt=0, le=1, description="Peak learning rate of AdamW")
    epochs: float = Field(1.0, gt=0, le=1000, description="Passes over the training data")
    batch_size: int = Field(16, ge=1, description="Turns in one optimiser step, over all processes")
    max_length: int = Field(4096, ge=16, description="Tokens of a sequence with its history; longer ones are cut")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps over which the rate grows")
    weight_decay: float = Field(0.0, ge=0, lt=1, description="Of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    spike_factor: float = Field(8.0, gt=1, description="A gradient so many times the running norm is a spike")
    spike_rate_factor: float = Field(0.5, gt=0, le=1, description="What a spike multiplies the learning rate by")
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, but slower")
    parallel: Parallel = Field(
        "ddp",
        description="What several processes divide: the turns (ddp), or gradients and optimiser too (zero2, DeepSpeed)",
    )
    save_every: int = Field(50, ge=1, description="Steps between checkpoints")
    log_every: int = Field(1, ge=1, description="Steps between metrics")


class InMicroBatches(Optimising):
    """Of stages whose forward passes are counted in turns."""

    micro_batch_size: int = Field(4, ge=1, description="Turns in one forward pass of one process")

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % self.micro_batch_size:
            raise ValueError("batch_size must be a multiple of micro_batch_size: change one of the two")
        return self


class Adapting(Optimising):
    """What every stage that trains an adapter has in common."""

    lora_rank: int = Field(16, ge=1, le=1024, description="Rank of the LoRA")
    lora_alpha: int = Field(32, ge=1, description="Scale of the LoRA, over its rank")
    lora_dropout: float = Field(0.1, ge=0, lt=1, description="Dropout on the input of the LoRA")


class PretrainConfig(InMicroBatches):
    """Pre-training on a corpus: of a base model, or of a new one with its own vocabulary."""

    stage: ClassVar[str] = "pretrain"

    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate of AdamW")
    epochs: float = Field(10.0, gt=0, le=1000, description="Passes over the corpus")
    block_length: int = Field(128, ge=16, description="Tokens of a training block; texts are packed into blocks")
    lora_rank: int = Field(
        0, ge=0, le=1024, description="Rank of a LoRA that is merged at the end; 0 trains all weights"
    )
    lora_alpha: int = Field(32, ge=1, description="Scale of the LoRA, over its rank")
    lora_dropout: float = Field(0.1, ge=0, lt=1, description="Dropout on the input of the LoRA")
    vocabulary: int = Field(2048, ge=300, description="Of a new model: tokens")
    hidden_size: int = Field(128, ge=16, description="Of a new model: width")
    layers: int = Field(3, ge=1, description="Of a new model: depth")
    heads: int = Field(4, ge=1, description="Of a new model: attention heads")

    @model_validator(mode="after")
    def _weights_that_can_be_trained(self) -> Self:
        if self.four_bit and not self.lora_rank:
            raise ValueError("four_bit holds weights that are not trained: set lora_rank, or turn four_bit off")
        return self

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError("hidden_size must be an even multiple of heads: change one of the two")
        return self


class SftConfig(InMicroBatches, Adapting):
    """Supervised fine-tuning of a base model by LoRA, on what doctors replied."""

    stage: ClassVar[str] = "sft"

    epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the dialogues")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="Peak learning rate of AdamW")


class Sampling(Settings):
    """How responses are sampled."""

    temperature: float = Field(1.0, gt=0, le=5, description="Of sampling")
    max_new_tokens: int = Field(512, ge=1, description="Longest response, in tokens")
    generate_batch_size: int = Field(16, ge=1, description="Prompts that are answered together")


class GenerateConfig(Sampling):
    """Sampling K responses a turn for the doctors to rank."""

    stage: ClassVar[str] = "generate"

    k: int = Field(4, ge=2, le=5, description="Responses a turn")
    top_p: float = Field(0.95, gt=0, le=1, description="Of sampling: share of probability kept")
    max_length: int = Field(4096, ge=16, description="Tokens of a prompt with its history; longer ones are cut")
    similar_above: float = Field(0.9, gt=0, le=1, description="Responses more alike than this are sampled again")
    attempts: int = Field(4, ge=1, le=50, description="How often a near-duplicate is sampled again")


class RewardConfig(Adapting):
    """The reward model: the medical base, LoRA, a linear head, all pairs of a turn in one loss."""

    stage: ClassVar[str] = "reward"

    learning_rate: float = Field(2e-4, gt=0, le=1, description="Peak learning rate of AdamW")
    epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the turns")
    pack_tokens: int = Field(
        4096, ge=16, description="Tokens of one forward pass of one process: what does not fit goes through after it"
    )
    attention: Attending = Field(
        "auto",
        description="How attention is computed: auto takes what the library has for the model; flex is for GPUs",
    )
    share: bool = Field(
        True, description="Compute what responses and turns share once, where the model is exact on it; else a row each"
    )
    select_by: Literal["accuracy", "loss"] = Field("accuracy", description="What the best checkpoint is best in")
    average_over: Literal["all pairs", "strict pairs"] = Field(
        "all pairs", description="Divisor of a turn's loss: C(n, 2) as in the paper, or its pairs that are no ties"
    )
    margin: float = Field(
        0.0, ge=0, description="By how much the better answer has to lead where doctors called the difference clear"
    )
    disputed_weight: float = Field(
        1.0, gt=0, le=1, description="Weight of a turn that a third expert had to decide; one that was agreed on has 1"
    )
    hasty_weight: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on a turn's weight for each ranking made in under a quarter of the median time",
    )
    centring: float = Field(0.0, ge=0, description="How strongly the mean score of each turn is drawn to zero")
    patience: int = Field(
        0,
        ge=0,
        description="Validations without a better checkpoint after which the training ends; 0 goes on to the end",
    )


class PpoConfig(InMicroBatches, Adapting, Sampling):
    """PPO of the fine-tuned model against the reward model, with a KL penalty towards where it started."""

    stage: ClassVar[str] = "ppo"

    epochs: float = Field(1.0, gt=0, le=1000, description="Passes over the prompts")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Peak learning rate of the policy")
    critic_learning_rate: float = Field(2e-4, gt=0, le=1, description="Peak learning rate of the critic")
    adam_epsilon: float = Field(1e-5, gt=0, description="Of AdamW; PPO is usually run with a larger one")
    max_new_tokens: int = Field(256, ge=1, description="Longest response, in tokens")
    rollout_size: int = Field(32, ge=1, description="Prompts answered before the model is updated on them")
    responses: int = Field(1, ge=1, le=64, description="Responses to each prompt of a rollout")
    engine: Literal["generate", "continuous", "vllm"] = Field(
        "generate", description="What answers the prompts: the library, its continuous batching, or a vLLM server"
    )
    engine_url: str = Field(
        "", pattern="^(https?://.+)?$", description="Address of the vLLM server, which takes adapters at run time"
    )
    engine_memory_share: float = Field(
        0.3, gt=0, lt=1, description="Of continuous batching: share of the free memory that it may take"
    )
    share: bool = Field(
        True,
        description="Compute a prompt once for all of its responses, where the model is exact on it; else a row each",
    )
    advantages: Literal["gae", "rloo", "grpo"] = Field(
        "gae",
        description="What a response is measured by: a critic (gae, as in PPO), or the other responses to its prompt",
    )
    ppo_epochs: int = Field(2, ge=1, le=20, description="Passes over a rollout")
    kl_coefficient: float = Field(0.05, ge=0, description="Price of a nat of divergence from the reference")
    kl_estimator: Literal["k1", "k2", "k3"] = Field("k1", description="How divergence is estimated in the reward")
    kl_target: float = Field(
        0.0, ge=0, description="Nats of divergence a response at which to hold it by adapting the price; 0: fixed price"
    )
    kl_horizon: int = Field(10_000, ge=1, description="Responses over which the price of divergence adapts")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount of later rewards")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Of generalised advantage estimation")
    clip_range: float = Field(0.2, gt=0, lt=1, description="How far the ratio of probabilities may count")
    value_clip_range: float = Field(0.2, gt=0, description="How far a value may move in one rollout")
    whiten_rewards: bool = Field(False, description="Scale the rewards of a rollout to unit variance")
    whiten_advantages: bool = Field(True, description="Scale the advantages of a rollout to zero mean, unit variance")
    average_over: Literal["tokens", "responses"] = Field(
        "tokens", description="Whether each token counts alike in a step's loss, or each response however long it is"
    )
    missing_end_penalty: float = Field(1.0, ge=0, description="Taken off the score of a response that did not end")
    alarm_kl: float = Field(50.0, ge=0, description="Alarm at so many nats of divergence a response; 0: never")
    alarm_entropy: float = Field(
        0.25, ge=0, lt=1, description="Alarm where entropy falls below this share of the first rollout's; 0: never"
    )
    alarm_length: float = Field(
        2.0, ge=0, description="Alarm where responses get so many times longer or shorter than at first; 0: never"
    )
    alarm_score_shift: float = Field(
        3.0, ge=0, description="Alarm where scores move so many of the reward model's standard deviations; 0: never"
    )
    abort_after: int = Field(0, ge=0, description="Rollouts in a row with an alarm after which to stop; 0: never")
    dry_run: bool = Field(
        False, description="One rollout and its updates, to see time, memory and figures; leaves no model"
    )
    compared: int = Field(40, ge=1, description="Held-out prompts answered before and after")
    despite_gate: bool = Field(
        False, description="Run even if the reward model does not beat 'the longer answer wins' beyond its interval"
    )

    @model_validator(mode="after")
    def _whole_mini_batches(self) -> Self:
        if self.rollout_size % self.batch_size:
            raise ValueError("rollout_size must be a multiple of batch_size: change one of the two")
        return self

    @model_validator(mode="after")
    def _in_one_process(self) -> Self:
        if self.parallel != "ddp":
            raise ValueError("PPO runs in one process: leave parallel at ddp")
        return self

    @model_validator(mode="after")
    def _groups_to_compare(self) -> Self:
        if self.advantages != "gae" and self.responses < 2:
            raise ValueError("advantages without a critic needs responses of at least 2: change one of the two")
        return self

    @model_validator(mode="after")
    def _a_server_to_ask(self) -> Self:
        if self.engine == "vllm" and not self.engine_url:
            raise ValueError("engine vllm needs an engine_url: name the address of the server")
        return self

    @model_validator(mode="after")
    def _a_price_that_can_adapt(self) -> Self:
        if self.kl_target and not self.kl_coefficient:
            raise ValueError("kl_target needs a kl_coefficient above 0 to begin with: change one of the two")
        return self


class BestOfNConfig(Sampling):
    """Best of n: what the reward model scores highest, as a file to fine-tune on. Started at the command line."""

    stage: ClassVar[str] = "best_of_n"

    responses: int = Field(8, ge=2, le=64, description="Responses to each prompt, of which the best is kept")
    keep_share: float = Field(
        1.0, gt=0, le=1, description="Share of the prompts that are kept: those whose best response scores highest"
    )
    max_length: int = Field(4096, ge=16, description="Tokens of a sequence with its history; longer ones are cut")
    despite_gate: bool = Field(
        False, description="Run even if the reward model does not beat 'the longer answer wins' beyond its interval"
    )


class EvaluateConfig(Sampling):
    """Measuring checkpoints on what no training has seen and nothing selects on."""

    stage: ClassVar[str] = "evaluate"

    max_length: int = Field(4096, ge=16, description="Tokens of a sequence with its history; longer ones are cut")
    pack_tokens: int = Field(8192, ge=16, description="Tokens of one forward pass that scores")
    compared: int = Field(40, ge=1, description="Held-out prompts answered before and after")


class ScoreConfig(Settings):
    """Scoring the responses of turns with a finished reward model."""

    stage: ClassVar[str] = "score"

    which: Literal["open", "all"] = Field("open", description="Turns of a campaign: those not settled yet, or all")
    flag_by: Literal["share", "score"] = Field(
        "share", description="Which turns are for a look: a share with the lowest best scores, or all below a score"
    )
    flag_below: float = Field(
        0.05, description="That share, or that score in standard deviations from the mean of the training"
    )
    max_length: int = Field(4096, ge=16, description="Tokens of a sequence with its history; longer ones are cut")
    pack_tokens: int = Field(8192, ge=16, description="Tokens of one forward pass that scores")

    @model_validator(mode="after")
    def _a_share_is_a_share(self) -> Self:
        if self.flag_by == "share" and not 0 <= self.flag_below < 1:
            raise ValueError("flag_below must be from 0 to below 1 where flag_by is share: change one of the two")
        return self


CONFIGS: dict[str, type[Settings]] = {
    config.stage: config
    for config in (
        PretrainConfig,
        SftConfig,
        GenerateConfig,
        RewardConfig,
        PpoConfig,
        BestOfNConfig,
        EvaluateConfig,
        ScoreConfig,
    )
}


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]} (it is {error['input']!r})" if name else message
