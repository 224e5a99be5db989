#!/usr/bin/env python3
"""Compares `tbrm score` with transformers: the same model directory, the same records, the same log-probs.

    pip install torch transformers
    cargo build --release -p tbrm
    scripts/check-transformers.py --model models/base --data logs.jsonl

The records need prompt and completion as text. Exit code 0 where every record's logp and v1 agree within the
tolerance, relative to the number's own size; 1 otherwise. Not part of `make test`: torch is a large download.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a model directory")
    parser.add_argument("--data", required=True, help="records, as JSONL")
    parser.add_argument("--records", type=int, default=16, help="how many of them, from the first (default 16)")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="relative to the number (default 1e-5)")
    parser.add_argument("--tbrm", default="target/release/tbrm", help="the binary (default target/release/tbrm)")
    args = parser.parse_args()

    with open(args.data, encoding="utf-8") as file:
        lines = [line for line in file if line.strip()][: args.records]
    ours = tbrm_scores(args, lines)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, torch_dtype=torch.float32).eval()
    worst = {"logp": 0.0, "v1": 0.0}
    for line, our in zip(lines, ours, strict=True):
        theirs = score(model, tokenizer, json.loads(line))
        assert our["num_tokens"] == theirs["num_tokens"], f"{our['id']}: tokens differ: {our}, {theirs}"
        for key in worst:
            difference = abs(our[key] - theirs[key]) / max(1.0, abs(theirs[key]))
            # A NaN is larger than everything.
            worst[key] = difference if not difference <= worst[key] else worst[key]
    print(f"{len(lines)} records, torch {torch.__version__}, transformers {transformers.__version__}")
    for key, difference in worst.items():
        print(f"  {key:<5} largest relative difference {difference:.2e}")
    return 0 if all(difference <= args.tolerance for difference in worst.values()) else 1


def tbrm_scores(args, lines):
    """What `tbrm score` writes for each of the lines."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder, "data.jsonl"), pathlib.Path(folder, "scores.jsonl")
        data.write_text("".join(lines), encoding="utf-8")
        command = [args.tbrm, "score", "--model", args.model, "--data", data, "--beta", "1", "--out", out, "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@torch.no_grad()
def score(model, tokenizer, record):
    """Log-prob of the completion and value of the prompt, from transformers' logits in float64."""
    prompt = tokenizer(record["prompt"])["input_ids"]
    completion = tokenizer(record["completion"], add_special_tokens=False)["input_ids"]
    eos = model.config.eos_token_id
    eos = eos if isinstance(eos, list) else [eos]
    if not record.get("truncated") and (not completion or completion[-1] not in eos):
        completion = completion + eos[:1]
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].double()
    logp = logits.log_softmax(-1)[torch.arange(len(completion)), torch.tensor(completion)]
    return {"logp": logp.sum().item(), "v1": logits[0].logsumexp(-1).item(), "num_tokens": len(completion)}


if __name__ == "__main__":
    sys.exit(main())
