"""Policy, reference, reward model and critic: four adapters and two heads over one frozen base.

Where the fine-tuned model was merged into its base, reward model and critic stand on the base that they had before: two
bases then. The active adapter is global state of the library, so it is set here and nowhere else: each forward names
its adapter, and whoever computes gradients runs forward and backward of one adapter before the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from rlhf import networks
from rlhf.answered import Laid
from rlhf.config import PpoConfig
from rlhf.vocabulary import VocabularyHead, require_known_head, token_log_probs

Adapter = Literal["policy", "reference", "reward", "critic"]
TRAINED: tuple[Adapter, ...] = ("policy", "critic")
HEADS = "heads.safetensors"


class Quartet(nn.Module):
    """The four networks of PPO. Heads and trained adapters stand in float32 over a base in any precision."""

    def __init__(
        self, base: Path, policy: Path | None, reward: Path, config: PpoConfig, reward_base: Path | None = None
    ) -> None:
        """Loads the base and the adapters; the critic starts as a copy of the reward model, head included.

        Without a policy adapter, policy and reference start as the base itself. ``reward_base`` is the base of reward
        model and critic where it is another.
        """
        super().__init__()
        causal = networks.load_causal(base, config.dtype, four_bit=config.four_bit)
        require_known_head(causal)
        self.temperature = config.temperature
        self.model: Any = _with_policy(causal, base, policy, config)
        reward_config, reward_weights = networks.read_adapter(reward)
        body = {name: weight for name, weight in reward_weights.items() if name != networks.SCORE_WEIGHT}
        self.judges: Any = None
        judging = self.model
        if reward_base is not None:
            judging = networks.load_causal(reward_base, config.dtype, four_bit=config.four_bit)
        for name in ("reward", "critic"):
            judging = networks.attach(judging, name, _plain(reward_config), body, reward)
        if reward_base is not None:
            self.judges = judging
        mean, deviation = networks.read_scale(reward)
        head = networks.read_score_head(reward)
        self.reward_head = _linear(head / deviation, -mean / deviation)
        self.value_head = _linear(head / deviation, -mean / deviation)
        self.without_dropout()
        if config.gradient_checkpointing:
            self.recompute_activations()
        self._active: set[Adapter] = set()
        self._trained = {id(parameter) for adapter in TRAINED for parameter in self.trained(adapter)}
        self._keep_trainable()

    @property
    def causal(self) -> Any:
        """The base with its language-model head."""
        return self.model.get_base_model()

    @property
    def bases(self) -> list[Any]:
        """The bases: one, or the policy's and the reward model's."""
        return [self.causal] if self.judges is None else [self.causal, self.judges.get_base_model()]

    def without_dropout(self) -> None:
        """PPO compares probabilities of the same tokens before and after: they must not differ by chance."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def recompute_activations(self) -> None:
        """Keeps only what goes into each layer for the backward pass, which computes the rest again.

        It does so with the adapter that is active then: the backward of one adapter has to come before the next.
        """
        for base in self.bases:
            enable = getattr(base, "activation_checkpointing_enable", base.gradient_checkpointing_enable)
            enable({"use_reentrant": False})

    def refer_to(self, adapter: Path | None) -> None:
        """Makes a saved adapter the reference; without one, the base itself."""
        if adapter is None:
            for name, weight in self.model.named_parameters():
                if "lora_B.reference." in name:
                    nn.init.zeros_(weight)
            return
        config, weights = networks.read_adapter(adapter)
        self.use("policy")  # the active adapter cannot go
        self.model.delete_adapter("reference")
        networks.attach(self.model, "reference", _plain(config), weights, adapter)
        self._keep_trainable()
        self._active = set()

    def use(self, adapter: Adapter) -> None:
        """Makes one adapter the active one; which parameters train stays as it was."""
        if adapter not in self._active:
            model = self._over(adapter)
            model.base_model.set_adapter(adapter)
            self._keep_trainable()
            self._active = {other for other in self._active if self._over(other) is not model} | {adapter}

    def forward(self, adapter: Adapter, laid: Laid) -> Tensor:
        """What an adapter says about each response token: (N,), in the order of ``laid``.

        Policy and reference give log-probabilities; the critic gives the value of the state before the token.
        """
        before = self._hidden(adapter, laid)[laid.before]
        if adapter == "critic":
            return networks.in_float32(self.value_head, before).squeeze(-1)
        return token_log_probs(before, laid.targets, VocabularyHead.of(self.causal), self.temperature)

    @torch.no_grad()
    def scores(self, laid: Laid) -> Tensor:
        """The normalised score (S,) of each response, read at its last token."""
        return networks.in_float32(self.reward_head, self._hidden("reward", laid)[laid.lasts]).squeeze(-1)

    def trained(self, adapter: Adapter) -> list[nn.Parameter]:
        """The parameters that a trained adapter trains."""
        own = [p for name, p in self._over(adapter).named_parameters() if f".{adapter}." in name]
        return own + (list(self.value_head.parameters()) if adapter == "critic" else [])

    def save(self, folder: Path) -> None:
        """Writes the trained adapters as ordinary ones, and the critic's head."""
        for adapter in TRAINED:
            self.save_adapter(adapter, folder / adapter)
        networks.save_tensors(dict(self.value_head.state_dict()), folder / HEADS)

    def save_adapter(self, adapter: Adapter, folder: Path) -> None:
        """Writes one adapter so that other tools load it."""
        folder.mkdir(parents=True, exist_ok=True)
        model = self._over(adapter)
        weights = get_peft_model_state_dict(model, adapter_name=adapter)
        networks.save_tensors(weights, folder / networks.ADAPTER_WEIGHTS)
        model.peft_config[adapter].save_pretrained(str(folder))

    def load(self, folder: Path) -> None:
        """Takes up what ``save`` wrote; raises CheckpointError where it is of another model."""
        for adapter in TRAINED:
            _, weights = networks.read_adapter(folder / adapter)
            networks.fill(self._over(adapter), adapter, weights, folder / adapter)
        self.value_head.load_state_dict(networks.load_tensors(folder / HEADS))

    def _over(self, adapter: Adapter) -> Any:
        """The adapted base that an adapter is part of."""
        return self.model if self.judges is None or adapter in {"policy", "reference"} else self.judges

    def _hidden(self, adapter: Adapter, laid: Laid) -> Tensor:
        """The last hidden states (B * T, d)."""
        self.use(adapter)
        base = self._over(adapter).get_base_model()
        body = getattr(base, base.base_model_prefix)
        return body(**laid.inputs, use_cache=False).last_hidden_state.flatten(0, 1)

    def _keep_trainable(self) -> None:
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in self._trained)


def _with_policy(causal: Any, base: Path, policy: Path | None, config: PpoConfig) -> PeftModel:
    """The base with the adapters ``policy`` and ``reference``, equal at the start."""
    if policy is None:
        fresh = networks.lora(config, TaskType.CAUSAL_LM)
        model = get_peft_model(causal, fresh, adapter_name="policy")
        weights = get_peft_model_state_dict(model, adapter_name="policy")
    else:
        saved, weights = networks.read_adapter(policy)
        model = networks.attach(causal, "policy", _plain(saved), weights, policy)
    copy = {name: weight.clone() for name, weight in weights.items()}
    return networks.attach(model, "reference", _plain(model.peft_config["policy"]), copy, policy or base)


def _plain(config: LoraConfig) -> LoraConfig:
    """A config for an adapter over a causal model: the reward model's head is not part of it."""
    values = {
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": 0.0,
        "target_modules": config.target_modules,
        "bias": config.bias,
        "use_rslora": config.use_rslora,
    }
    return LoraConfig(task_type=TaskType.CAUSAL_LM, **values)


def _linear(weight: Tensor, bias: float) -> nn.Linear:
    head = nn.Linear(weight.shape[1], 1)
    head.weight.data.copy_(weight)
    head.bias.data.fill_(bias)
    return head
