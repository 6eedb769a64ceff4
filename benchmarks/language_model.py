"""Serving a language model of a published size: memory at load, prefill, decode, other weights, an adapter.

    python -m benchmarks.language_model [--only qwen2-0.5b] [--dtype bfloat16] [--engines xla,iree]

Weights are random, the architectures those of the published models. One artifact has prefill and decode over
one cache of 1,024 positions. Prefill reads 512 tokens, a step of decode is at position 512, batch 1. Memory
is of a process that loads the artifact, makes a step, and reads a prompt. The limit of a step is the bytes of
the weights and of the cache over the bandwidth that a sum of a gibibyte reaches in the same process. Leave
the machine alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.choices import names
from benchmarks.processes import run_child

MODELS = ("qwen2-0.5b", "llama-1b")
DTYPES = ("float32", "bfloat16")
ENGINES = ("xla", "iree")
_CHILD = "benchmarks.language_model_measure"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.language_model", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--only", type=names(MODELS), default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--dtype", type=names(DTYPES), default=list(DTYPES), help=f"of {', '.join(DTYPES)}")
    parser.add_argument(
        "--engines", type=names(ENGINES), default=list(ENGINES), help=f"of {', '.join(ENGINES)}"
    )
    parser.add_argument("--parts", type=names(PARTS), default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing for each side")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for one process")
    parser.add_argument("--pin", action="store_true", help="everything on one core")
    parser.add_argument("--small", action="store_true", help="toy models, to see that all works")
    return parser.parse_args()


PARTS = ("memory", "weights", "times")


def measure(model: str, dtype: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of all parts, each of a process of its own; a process that failed has its reason."""
    with TemporaryDirectory() as folder:
        request = {
            "folder": folder,
            "model": model,
            "dtype": dtype,
            "small": chosen.small,
            "seconds": chosen.seconds,
            "engines": chosen.engines,
        }
        cache = {"BRIDGE_CACHE_DIR": str(Path(folder) / "cache")}

        def child(part: str, **more: Any) -> list[dict[str, Any]]:
            outcome = run_child(
                _CHILD,
                {**request, "part": part, **more},
                pinned=chosen.pin,
                limit=chosen.limit,
                environment=cache,
            )
            problem = [{"part": part, **more, "reason": outcome.problem}] if outcome.problem else []
            return [{"part": part, **more, **line} for line in outcome.lines] + problem

        lines = child("save")
        for engine in chosen.engines:
            for part in ("memory", "weights"):
                if part in chosen.parts:
                    lines += child(part, engine=engine)
        return lines + (child("times") if "times" in chosen.parts else [])


def main() -> None:
    """Measure and print a line of each part as it comes."""
    chosen = arguments()
    for model in chosen.only:
        for dtype in chosen.dtype:
            for line in measure(model, dtype, chosen):
                said = ", ".join(f"{name} {_number(value)}" for name, value in line.items())
                print(f"{model}, {dtype}: {said}", flush=True)


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
