#!/usr/bin/env python3
"""Measures `tbrm bench rollouts` beside `generate` of transformers on the processor, in turn.

    pip install torch transformers numpy
    cargo build --release -p tbrm
    scripts/bench-generate.py --preset tiny --batch 1 64

The same architecture, the same weights (a hash of their index), the same prompts, the same number of tokens, the likeliest
each time: that both generate the same tokens is the proof that they do the same work. Prints each pair and the medians.
Exit code 1 where the tokens differ.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy
import torch
import transformers

PRESETS = {  # vocabulary, layers, channels, heads, ffn, tokens of a sequence
    "nano": (128, 2, 64, 4, 192, 64),
    "tiny": (512, 4, 128, 4, 384, 128),
    "small": (4096, 6, 384, 6, 1024, 256),
}

PAUSE = 2  # seconds: neither is to meet what the other has left running


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny", choices=PRESETS)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64], help="sequences at a time (default 1 64)")
    parser.add_argument("--pairs", type=int, default=5, help="how often both are measured (default 5)")
    parser.add_argument("--times", type=int, default=5, help="of which each takes the median (default 5)")
    parser.add_argument("--tbrm", default="target/release/tbrm", help="the binary (default target/release/tbrm)")
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: its own choice)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    model = peer(*PRESETS[args.preset])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, transformers {transformers.__version__}")
    same = True
    for batch in args.batch:
        ours, theirs = [], []
        for _ in range(args.pairs):
            line = f"bench rollouts --preset {args.preset} --weights hash --batch {batch} --steps {args.times} --json --quiet"
            time.sleep(PAUSE)
            report = json.loads(subprocess.run([args.tbrm, *line.split()], check=True, capture_output=True).stdout)
            time.sleep(PAUSE)
            speed, tokens = generate(model, batch, report["prompt_tokens"], report["new_tokens"], args.times)
            same &= tokens == report["tokens"]
            ours.append(report["tokens_per_s"])
            theirs.append(speed)
            print(flush=True, end=f"  batch {batch}: tbrm {ours[-1]:.0f} tokens/s, transformers {theirs[-1]:.0f}, {ours[-1] / theirs[-1]:.2f}\n")
        one, other = (float(numpy.median(speeds)) for speeds in (ours, theirs))
        ratio = float(numpy.median([a / b for a, b in zip(ours, theirs)]))
        print(f"{args.preset}, batch {batch}, {report['driver']}: tbrm {one:.0f} tokens/s, transformers {other:.0f}; median ratio {ratio:.2f}")
    print("both generate the same tokens" if same else "THE TOKENS DIFFER")
    return 0 if same else 1


def hashed(i, stream):
    """32 bits of an index in a stream, as the core's `peer_hash`."""
    h = (i.astype(numpy.uint64) * 2654435761 + numpy.uint64(stream * 40503 + 12345)).astype(numpy.uint32)
    h ^= h >> numpy.uint32(15)
    h *= numpy.uint32(2246822519)
    h ^= h >> numpy.uint32(13)
    h *= numpy.uint32(3266489917)
    return h ^ (h >> numpy.uint32(16))


def peer(vocab, layers, channels, heads, ffn, length):
    """transformers' Llama with the hash's weights: matrices (in, out), of which it wants the transposed ones."""
    config = transformers.LlamaConfig(
        vocab_size=vocab,
        num_hidden_layers=layers,
        hidden_size=channels,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config).eval()

    def weights(stream, rows, columns):
        unit = hashed(numpy.arange(rows * columns), stream).astype(numpy.float64) / 2**32
        values = ((unit - 0.5) * 0.02 * 12**0.5).astype(numpy.float32)
        return torch.tensor(values).reshape(rows, columns)

    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(weights(1, vocab, channels))
        for i, layer in enumerate(model.model.layers):
            attention, mlp = layer.self_attn, layer.mlp
            matrices = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
            for at, matrix in enumerate([*matrices, mlp.gate_proj, mlp.up_proj, mlp.down_proj]):
                out, into = matrix.weight.shape
                matrix.weight.copy_(weights(2 + 7 * i + at, into, out).T)
    return model


def generate(model, batch, prompt_tokens, new_tokens, times):
    """Tokens a second, the median of `times` after one that warms up, and the first sequence's tokens."""
    ids = hashed(numpy.arange(batch * prompt_tokens), 999) % model.config.vocab_size
    ids = torch.tensor(ids.astype(numpy.int64)).reshape(batch, prompt_tokens)
    options = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False, "use_cache": True}
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        seconds.append(time.perf_counter() - began)
    assert out.shape == (batch, prompt_tokens + new_tokens), out.shape
    return batch * new_tokens / float(numpy.median(seconds[1:])), out[0, prompt_tokens:].tolist()


if __name__ == "__main__":
    sys.exit(main())
