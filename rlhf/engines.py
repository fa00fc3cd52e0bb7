"""What answers the prompts of a rollout: the library's generate, its continuous batching, or a vLLM server.

All of them sample from the policy's adapter over the base as it is: nothing is ever merged into a base that reference,
reward model and critic stand on. What an engine says about the tokens that it sampled is compared with the trainer.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import torch
from transformers import ContinuousBatchingConfig

from rlhf.config import PpoConfig
from rlhf.data import DataError
from rlhf.quartet import Quartet
from rlhf.sampling import SamplingRule, sample, up_to_end, without_defaults
from rlhf.sequences import Encoder

ADAPTERS = "rollout-adapters"
AT_ONCE = 64
ANSWERS_S = 600.0
"""Requests that wait for a server together; it batches them as it likes."""


class EngineError(DataError):
    """An engine that does not answer; the message says what to do."""


@dataclass(frozen=True)
class Sampled:
    """A response as ids, closed by the end token where the model ended it; and what the engine says of each token."""

    ids: list[int]
    log_probs: list[float] | None = None


class Engine(Protocol):
    """Answers prompts with the policy as it is."""

    def answer(self, prompts: Sequence[Sequence[int]], n: int, rule: SamplingRule) -> list[Sampled]:
        """``n`` responses to each prompt, those of one prompt behind each other."""


def engine_of(config: PpoConfig, quartet: Quartet, encoder: Encoder, folder: Path) -> Engine:
    """The engine that a config asks for; ``folder`` is the run's."""
    if config.engine == "continuous":
        return Continuous(quartet, encoder, config.engine_memory_share)
    if config.engine == "vllm":
        return Vllm(quartet, encoder, config.engine_url, folder / ADAPTERS)
    return Generate(quartet, encoder, config.generate_batch_size)


@dataclass(frozen=True)
class Generate:
    """``generate`` of the library, prompts of like length together. It is the trainer's own model."""

    quartet: Quartet
    encoder: Encoder
    batch_size: int

    def answer(self, prompts: Sequence[Sequence[int]], n: int, rule: SamplingRule) -> list[Sampled]:
        """As the protocol says."""
        self.quartet.use("policy")
        repeated = [prompt for prompt in prompts for _ in range(n)]
        end_id, pad_id = self.encoder.end_id, self.encoder.pad_id
        found = sample(self.quartet.model, repeated, rule, end_id=end_id, pad_id=pad_id, batch_size=self.batch_size)
        return [Sampled(ids) for ids in found]


@dataclass(frozen=True)
class Continuous:
    """Continuous batching of the library: a response that has ended makes room for the next one at once."""

    quartet: Quartet
    encoder: Encoder
    memory_share: float

    def answer(self, prompts: Sequence[Sequence[int]], n: int, rule: SamplingRule) -> list[Sampled]:
        """As the protocol says."""
        self.quartet.use("policy")
        self.quartet.eval()
        settings = ContinuousBatchingConfig(
            max_memory_percent=self.memory_share,
            return_logprobs=True,
            seed=drawn_seed(),
            auto_switch_to_flash=False,  # it might fetch kernels, and would answer with another attention than trains
        )
        with without_defaults(self.quartet.causal):
            found = self.quartet.causal.generate_batch(
                inputs=[list(prompt) for prompt in prompts for _ in range(n)],
                generation_config=rule.generation_config(self.encoder.end_id, self.encoder.pad_id),
                continuous_batching_config=settings,
                warmup=False,
            )
        if len(found) < len(prompts) * n or any(each.error for each in found.values()):
            raise EngineError(
                "Continuous batching ended without answering every prompt: see the log, or set engine to generate."
            )
        return [_cut(each.generated_tokens, each.logprobs, self.encoder.end_id) for each in found.values()]


@dataclass(frozen=True)
class Vllm:
    """A vLLM server that has loaded the same base and takes adapters at run time.

    It is started with --enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --logprobs-mode processed_logprobs, and
    sees the folder of the run under the same path.
    """

    quartet: Quartet
    encoder: Encoder
    url: str
    folder: Path

    def answer(self, prompts: Sequence[Sequence[int]], n: int, rule: SamplingRule) -> list[Sampled]:
        """As the protocol says: hands the adapter over, asks with it by name, and takes it away again."""
        seed = drawn_seed()
        with self._served() as name, ThreadPoolExecutor(AT_ONCE) as waiting:
            asked = [self._request(name, prompt, n, rule, seed + i * n) for i, prompt in enumerate(prompts)]
            answers = list(waiting.map(lambda request: self._post("/v1/completions", request), asked))
        return [_cut(*_told(choice), self.encoder.end_id) for answer in answers for choice in _in_order(answer)]

    @contextmanager
    def _served(self) -> Iterator[str]:
        """The policy's adapter under a name of its own, as long as it is needed."""
        name = f"policy-{uuid4().hex}"
        self.quartet.save_adapter("policy", self.folder / name)
        try:
            self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(self.folder / name)})
            yield name
            self._post("/v1/unload_lora_adapter", {"lora_name": name})
        finally:
            shutil.rmtree(self.folder)

    def _request(self, name: str, prompt: Sequence[int], n: int, rule: SamplingRule, seed: int) -> dict[str, Any]:
        return {
            "model": name,
            "prompt": list(prompt),
            "n": n,
            "seed": seed,
            "max_tokens": rule.max_new_tokens,
            "temperature": rule.temperature,
            "top_p": rule.top_p,
            "stop_token_ids": [self.encoder.end_id],
            "ignore_eos": True,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "logprobs": 0,
            "return_token_ids": True,
            "add_special_tokens": False,
        }

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url.rstrip("/") + path, json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=ANSWERS_S) as answer:  # noqa: S310  (the config takes http and https alone)
                said = answer.read()
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")[:300]
            raise EngineError(f"The server at {self.url} refused {path} ({error.code}): {told}") from error
        except OSError as error:
            raise EngineError(
                f"The server at {self.url} does not answer ({error}): start it, or set another engine."
            ) from error
        return _read(said, self.url) if path.endswith("completions") else None


def drawn_seed() -> int:
    """A seed for another generator, drawn from that of the run: a resumed run draws the same."""
    return int(torch.randint(2**31, ()).item())


def mismatch(engine: Sequence[float], trainer: torch.Tensor) -> dict[str, float]:
    """How far apart what engine and trainer say of the same N sampled tokens is, in nats: on average, and at most."""
    apart = (torch.tensor(engine) - trainer).abs()
    return {"engine_difference": apart.mean().item(), "engine_difference_most": apart.max().item()}


def _read(said: bytes, url: str) -> Any:
    """The answer to a prompt; raises EngineError where it is none that is understood here."""
    try:
        answer = json.loads(said)
        for choice in answer["choices"]:
            _told(choice)
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"The server at {url} answers without the tokens' ids and log-probabilities: a newer vLLM says them."
        ) from error
    return answer


def _in_order(answer: Any) -> list[Any]:
    return sorted(answer["choices"], key=lambda choice: choice["index"])


def _told(choice: Any) -> tuple[list[int], list[float]]:
    return choice["token_ids"], choice["logprobs"]["token_logprobs"]


def _cut(ids: list[int], log_probs: list[float], end_id: int) -> Sampled:
    kept = up_to_end(ids, end_id)
    return Sampled(kept, log_probs[: len(kept)])
