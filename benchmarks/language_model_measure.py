"""One part of `benchmarks.language_model`, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import bridge
from benchmarks.memory import resident
from benchmarks.processes import tell
from bridge.generation import Conversation, causal_model, decoder_programs
from lowering.host.machine import cores

LENGTH, PROMPT = 1024, 512
_ARTIFACT, _MODEL, _WEIGHTS, _ADAPTER = "model.bridge", "model", "weights.safetensors", "adapter"
_RANK = 16


def configuration(model: str, small: bool) -> Any:
    """The published architecture; small, the same with toy sizes."""
    import transformers as hf

    sizes: dict[str, Any] = {
        "qwen2-0.5b": {
            "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
            "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32768,
            "tie_word_embeddings": True,
        },
        "llama-1b": {
            "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
            "max_position_embeddings": 131072, "tie_word_embeddings": True,
        },
    }[model]  # fmt: skip
    if small:
        sizes |= {"vocab_size": 997, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2} | (
            {"head_dim": 64} if "llama" in model else {}
        )
    return (hf.Qwen2Config if model.startswith("qwen2") else hf.LlamaConfig)(**sizes)


def save(request: dict[str, Any]) -> dict[str, Any]:
    """The model, its artifact and an adapter of all attention layers, in the folder."""
    import transformers as hf
    from safetensors.torch import save_file

    folder = Path(request["folder"])
    torch.manual_seed(0)
    made = hf.AutoModelForCausalLM.from_config(configuration(request["model"], request["small"]))
    made = made.to(getattr(torch, request["dtype"])).eval()
    made.save_pretrained(folder / _MODEL)
    # By the names that the programs have for them.
    save_file({f"model.{name}": value for name, value in made.named_parameters()}, folder / _WEIGHTS)
    lowered = bridge.lower(decoder_programs(made, 1, LENGTH))
    for engine in request["engines"]:
        _compile(lowered, engine)
    lowered.save(folder / _ARTIFACT)
    (folder / _ADAPTER).mkdir()
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in made.named_modules():
        if name.endswith(("q_proj", "v_proj")):
            tensors[f"base_model.model.model.{name}.lora_A.weight"] = (
                torch.randn(_RANK, layer.in_features) * 0.01
            )
            tensors[f"base_model.model.model.{name}.lora_B.weight"] = (
                torch.randn(layer.out_features, _RANK) * 0.01
            )
    dtype = getattr(torch, request["dtype"])
    save_file({n: t.to(dtype) for n, t in tensors.items()}, folder / _ADAPTER / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": _RANK, "lora_alpha": 2 * _RANK}
    (folder / _ADAPTER / "adapter_config.json").write_text(json.dumps(settings))
    return {"weights_mb": _weights_bytes(made) / 2**20}


def _weights_bytes(model: Any) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def memory(request: dict[str, Any]) -> dict[str, Any]:
    """Of a process that loads the artifact, calls decode once, then prefill: growth beyond its imports."""
    torch.empty(1)
    before = resident()
    started = time.perf_counter()
    compiled = _compiled(request)
    loaded = time.perf_counter() - started
    prompt = _prompt(request)
    conversation = Conversation(compiled.session(), 1, LENGTH)
    conversation.read(prompt[:, :1])
    after_decode = resident() - before
    conversation.roll_back(0)
    conversation.read(prompt)
    return {"decode_mb": after_decode, "prefill_mb": resident() - before, "seconds": loaded}


def weights(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds to give all weights other values, and to read them; of a step with an adapter and without."""
    folder = Path(request["folder"])
    compiled = _compiled(request)
    step = _step(Conversation(compiled, 1, LENGTH), _prompt(request))
    file = folder / _WEIGHTS
    reads, sets = [], []
    for _ in range(3):
        started = time.perf_counter()
        file.read_bytes()
        reads.append(time.perf_counter() - started)
        started = time.perf_counter()
        compiled.set_weights(file)
        sets.append(time.perf_counter() - started)
        step()
    found = {"read_seconds": min(reads), "set_seconds": min(sets)}
    decode = compiled.programs["decode"]
    decode.add_adapter("one", folder / _ADAPTER)
    adapted = decode.with_adapter("one")
    token, at, mask, last = (
        torch.tensor([[1]]),
        torch.tensor([PROMPT]),
        torch.ones(1, LENGTH, dtype=torch.bool),
        torch.tensor([0]),
    )
    plain = _turns(
        {
            "plain_ms": lambda: decode(token, at, mask, last),
            "adapter_ms": lambda: adapted(token, at, mask, last),
        },
        request["seconds"],
    )
    return {**found, **plain}


def times(request: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of prefill and of a step, least of turns that all sides take, and the limit of a step."""
    folder = Path(request["folder"])
    prompt = _prompt(request)
    eager = causal_model(folder / _MODEL)
    caches = _eager_caches(eager)
    steps: dict[str, Callable[[], Any]] = {"eager": lambda: caches(prompt[:, :1], PROMPT)}
    prefills: dict[str, Callable[[], Any]] = {"eager": lambda: caches(prompt, 0)}
    for engine in request["engines"]:
        conversation = Conversation(_compiled({**request, "engine": engine}), 1, LENGTH)
        steps[engine] = _step(conversation, prompt)
        prefills[engine] = _prefill(conversation, prompt)
    moved = _weights_bytes(eager) + caches.bytes
    return {
        **{f"prefill_{name}": value for name, value in _turns(prefills, request["seconds"]).items()},
        **{f"decode_{name}": value for name, value in _turns(steps, request["seconds"]).items()},
        "limit": 1e3 * moved / _bandwidth(),
    }


class _eager_caches:
    """transformers' own static cache, in eager."""

    def __init__(self, model: Any) -> None:
        from transformers import StaticCache

        self._model = model
        self._cache = StaticCache(model.config, max_cache_len=LENGTH)
        self(torch.ones(1, 2, dtype=torch.int64), 0)

    @property
    def bytes(self) -> int:
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers)

    def __call__(self, tokens: torch.Tensor, start: int) -> torch.Tensor:
        places = torch.arange(start, start + tokens.shape[1])
        for layer in self._cache.layers:
            layer.cumulative_length = torch.tensor([start]) if hasattr(layer, "cumulative_length") else None
        return self._model(
            input_ids=tokens,
            past_key_values=self._cache,
            position_ids=places[None],
            cache_position=places,
            use_cache=True,
            logits_to_keep=1,
        ).logits


def _step(conversation: Conversation, prompt: torch.Tensor) -> Callable[[], Any]:
    conversation.read(prompt)

    def run() -> Any:
        conversation.roll_back(PROMPT)
        return conversation.read(prompt[:, :1])

    return run


def _prefill(conversation: Conversation, prompt: torch.Tensor) -> Callable[[], Any]:
    def run() -> Any:
        conversation.roll_back(0)
        return conversation.read(prompt)

    return run


def _turns(sides: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """The least milliseconds of each side, which take turns."""
    least = dict.fromkeys(sides, float("inf"))
    for call in sides.values():
        call()
    end = time.perf_counter() + seconds * len(sides)
    while True:
        for name, call in sides.items():
            started = time.perf_counter()
            call()
            least[name] = min(least[name], 1e3 * (time.perf_counter() - started))
        if time.perf_counter() > end:
            return least


def _bandwidth() -> float:
    """Bytes per second that a sum reads."""
    data = torch.ones(2**28)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        data.sum()
        best = min(best, time.perf_counter() - started)
    return data.nbytes / best


def _compiled(request: dict[str, Any]) -> Any:
    return _compile(bridge.load(Path(request["folder"]) / _ARTIFACT), request["engine"])


def _compile(lowered: Any, engine: str) -> Any:
    return lowered.compile(engine, on_new_size="wait", sizes={"prefill": [{"tokens.1": PROMPT}]})


def _prompt(request: dict[str, Any]) -> torch.Tensor:
    vocabulary = configuration(request["model"], request["small"]).vocab_size
    return torch.randint(1, vocabulary, (1, PROMPT), generator=torch.Generator().manual_seed(0))


PARTS = {"save": save, "memory": memory, "weights": weights, "times": times}


def main() -> None:
    """Measure the part that the first argument asks for; its line goes into the file of the second."""
    request = json.loads(sys.argv[1])
    torch.set_num_threads(cores())
    with torch.inference_mode():
        tell(sys.argv[2], **PARTS[request["part"]](request))


if __name__ == "__main__":
    main()
