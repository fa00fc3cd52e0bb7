"""Engines answer with the policy's adapter, and what they say of their tokens is held against the trainer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf import networks
from rlhf.config import ConfigError, PpoConfig
from rlhf.engines import ADAPTERS, Continuous, Engine, EngineError, Generate, Vllm, engine_of, mismatch
from rlhf.quartet import Quartet
from rlhf.rollout import answer, judge
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder
from tests.rlhf.material import four_networks

CONFIG = PpoConfig(responses=2, max_new_tokens=6, temperature=0.8, micro_batch_size=4, lora_rank=2)
PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]


@pytest.fixture(scope="module")
def quartet(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Quartet:
    return four_networks(base, tmp_path_factory.mktemp("engines-reward"), CONFIG)


class Server(ThreadingHTTPServer):
    """Stands in for a vLLM server: it loads adapters over the same base and answers as the real one words it."""

    def __init__(self, base: Path, encoder: Encoder) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.base, self.encoder = base, encoder
        self.adapters: dict[str, Any] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.Lock()

    def complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Samples n choices; says them in another order than theirs, as it may."""
        model, rule = self.adapters[asked["model"]], SamplingRule(asked["max_tokens"], asked["temperature"])
        choices = []
        for index in range(asked["n"]):
            torch.manual_seed(asked["seed"] + index)
            [ids] = sample(model, [asked["prompt"]], rule, end_id=asked["stop_token_ids"][0], pad_id=0, batch_size=1)
            logits = model(input_ids=torch.tensor([[*asked["prompt"], *ids]])).logits[0, len(asked["prompt"]) - 1 : -1]
            said = torch.log_softmax(logits / asked["temperature"], -1).gather(-1, torch.tensor(ids)[:, None])
            choices.append({"index": index, "token_ids": ids, "logprobs": {"token_logprobs": said.flatten().tolist()}})
        return {"choices": choices[::-1]}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, body))
            status, said = self._reply(body)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(said)

    def _reply(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if self.path == "/v1/load_lora_adapter":
            loaded = networks.load_policy(self.server.base, Path(body["lora_path"]), "float32")
            self.server.adapters[body["lora_name"]] = loaded
        elif self.path == "/v1/unload_lora_adapter":
            del self.server.adapters[body["lora_name"]]
        elif body["model"] not in self.server.adapters:
            return 404, b"no such adapter"
        else:
            return 200, json.dumps(self.server.complete(body)).encode()
        return 200, b"Success"

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server(base: Path, encoder: Encoder) -> Iterator[Server]:
    server = Server(base, encoder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def answered(engine: Engine, encoder: Encoder, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return answer(engine, encoder, PROMPTS, CONFIG)


def engines(quartet: Quartet, encoder: Encoder, server: Server, folder: Path) -> dict[str, Engine]:
    vllm = Vllm(quartet, encoder, url(server), folder / ADAPTERS)
    return {"generate": Generate(quartet, encoder, 4), "continuous": Continuous(quartet, encoder, 0.02), "vllm": vllm}


@pytest.mark.parametrize("name", ["generate", "continuous", "vllm"])
def test_an_engine_answers_each_prompt_as_often_as_asked(
    name: str, quartet: Quartet, encoder: Encoder, server: Server, tmp_path: Path
) -> None:
    engine = engines(quartet, encoder, server, tmp_path)[name]
    found = answered(engine, encoder)
    assert [list(prompt) for prompt in found.prompts] == PROMPTS
    assert [len(own) for own in found.responses] == [2, 2, 2]
    assert all(1 <= len(ids) <= 6 and encoder.end_id not in ids[:-1] for _, ids in found.flat)
    if name != "continuous":  # which requests it takes together depends on when they come in
        assert answered(engine, encoder) == found
        assert answered(engine, encoder, seed=1) != found
    assert quartet.causal.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["continuous", "vllm"])
def test_what_an_engine_says_of_its_tokens_is_compared_with_the_trainer(
    name: str, quartet: Quartet, encoder: Encoder, server: Server, tmp_path: Path
) -> None:
    found = answered(engines(quartet, encoder, server, tmp_path)[name], encoder)
    assert judge(quartet, found, CONFIG)[1]["engine_difference_most"] < 1e-4
    adapter = [weight for name, weight in quartet.model.named_parameters() if "lora_B.policy." in name]
    kept = [weight.detach().clone() for weight in adapter]
    for weight in adapter:
        weight.data.zero_()
    try:
        watched = judge(quartet, found, CONFIG)[1]  # as if the engine had answered with another adapter
        assert watched["engine_difference_most"] > watched["engine_difference"] > 1e-2
    finally:
        for weight, before in zip(adapter, kept, strict=True):
            weight.data.copy_(before)


def test_the_mismatch_is_the_distance_in_nats() -> None:
    found = mismatch([-1.0, -2.0], torch.tensor([-1.5, -1.0]))
    assert found == {"engine_difference": 0.75, "engine_difference_most": 1.0}


def test_the_server_is_given_the_adapter_asked_with_it_and_relieved_of_it(
    quartet: Quartet, encoder: Encoder, server: Server, tmp_path: Path
) -> None:
    answered(engines(quartet, encoder, server, tmp_path)["vllm"], encoder)
    paths = [path for path, _ in server.seen]
    assert paths == ["/v1/load_lora_adapter", *["/v1/completions"] * 3, "/v1/unload_lora_adapter"]
    seeds = sorted(body["seed"] for path, body in server.seen if path == "/v1/completions")
    assert [seed - seeds[0] for seed in seeds] == [0, 2, 4]  # two choices each: none has the seed of another
    assert not server.adapters
    assert not list(tmp_path.iterdir())


def test_a_server_that_refuses_or_is_not_there_is_said_in_a_sentence(
    quartet: Quartet, encoder: Encoder, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Vllm(quartet, encoder, url(server), tmp_path / ADAPTERS)
    with monkeypatch.context() as patched:
        patched.setattr(Handler, "_reply", lambda *_: (400, b"runtime updating is off"))
        with pytest.raises(EngineError, match="updating is off"):
            answered(engine, encoder)
    assert not list(tmp_path.iterdir())
    nobody = Vllm(quartet, encoder, "http://127.0.0.1:9", tmp_path / ADAPTERS)
    with pytest.raises(EngineError, match="does not answer"):
        answered(nobody, encoder)


def test_the_engine_is_the_one_that_the_settings_name(quartet: Quartet, encoder: Encoder, tmp_path: Path) -> None:
    asked = {"generate": Generate, "continuous": Continuous, "vllm": Vllm}
    for name, kind in asked.items():
        config = PpoConfig(engine=name, engine_url="http://127.0.0.1:8000")
        assert isinstance(engine_of(config, quartet, encoder, tmp_path), kind)
    with pytest.raises(ConfigError, match="engine_url"):
        PpoConfig.of({"engine": "vllm"})
    with pytest.raises(ConfigError, match="engine_url"):
        PpoConfig.of({"engine": "vllm", "engine_url": "file:///etc/passwd"})
