"""Text from a causal language model of transformers, token by token, from one artifact.

python examples/generate.py                       # trains a tiny model at first use
python examples/generate.py FOLDER --prompt "..."  # a folder with config.json and safetensors
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import transformers

import bridge
from bridge.generation import Conversation, Sampling, causal_model, decoder_programs, stream


def artifact_of(folder: Path, length: int, engine: str) -> Path:
    """The artifact of the folder's model, made at first use."""
    path = folder / f"decoder-{length}.bridge"
    if not path.exists():
        model = causal_model(folder)
        lowered = bridge.lower(decoder_programs(model, batch=1, length=length))
        lowered.compile(engine)
        lowered.save(path)
        print(f"lowered to {path}")
    return path


def main() -> None:
    """Print an answer as it is made, and how fast it was."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="default: a tiny model, trained at first use")
    parser.add_argument("--prompt", default="The value of an expression is")
    parser.add_argument("--tokens", type=int, default=120, help="the most new tokens; default: 120")
    parser.add_argument("--length", type=int, default=256, help="positions of the caches; default: 256")
    parser.add_argument("--engine", default="iree")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 takes the likeliest; default: 0.7")
    parser.add_argument("--top-k", type=int, default=40)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = given.folder
    if folder is None:
        folder = Path("out/tiny-language-model")
        if not (folder / "config.json").exists():
            from tiny_language_model import train

            train(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    compiled = bridge.load(artifact_of(folder, given.length, given.engine)).compile(given.engine)
    prompt = tokenizer(given.prompt, return_tensors="pt")["input_ids"]
    generator = torch.Generator().manual_seed(given.seed)
    sampling = Sampling(given.temperature, given.top_k, given.top_p, generator)
    stop = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    print(f"\n{given.prompt}", end="", flush=True)
    with compiled.session() as session:
        conversation = Conversation(session, batch=1, length=given.length)
        shown, ids, started = given.prompt, prompt[0].tolist(), time.perf_counter()
        for tokens in stream(conversation, prompt, given.tokens, sampling=sampling, stop=stop):
            ids += tokens.tolist()
            # A character may take several tokens: what is not whole yet waits.
            text = tokenizer.decode(ids, skip_special_tokens=True)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                print(text[len(shown) :], end="", flush=True)
                shown = text
        passed = time.perf_counter() - started
    made = len(ids) - prompt.shape[1]
    print(f"\n\n{made} tokens in {passed:.2f} s on {given.engine}: {made / passed:.0f} a second")


if __name__ == "__main__":
    main()
