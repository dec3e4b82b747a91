#!/usr/bin/env python3
"""Compare slm with transformers on a GGUF model's real weights (float32).

  python3 tests/real/compare_transformers.py MODEL.gguf [--slm build/slm] [--dump build/tests/real/dump_logits]

1. 20 prompts through `slm chat -p --temperature 0 --json --dtype f32`: the 100 greedy tokens must be
   those that transformers gives for the same prompt ids.
2. Logits of every position of those sequences: largest relative difference in f32, and the KL
   divergence KL(transformers f32 || slm bf16) per position: mean and largest.
Needs torch, transformers and gguf. Not part of the test suite: it needs a real model.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import AutoModelForCausalLM

PROMPTS = [
    "I have had a headache for three days. What should I do?",
    "My son is 4 and has a fever of 39.2. Is that dangerous?",
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "My mother takes warfarin and fell this morning.",
    "Explain why the sky is blue to a child.",
    "chest pain when I climb stairs",
    "Is it safe to take ibuprofen while pregnant?",
    "List five healthy breakfasts.",
    "¿Qué puedo tomar para el dolor de garganta?",
    "My blood test says TSH 6.1, what does it mean?",
    "How do I remove a tick?",
    "Give me a plan to run 5 km in eight weeks.",
    "I can't sleep.",
    "Translate 'good morning' into German, French and Hindi.",
    "What is 17 * 23?",
    "my knee hurts after footbal, its swollen, what now",
    "Summarise the water cycle in three sentences.",
    "Can I drink alcohol with metronidazole?",
    "Write a letter to my landlord about mould.",
]


def slm_greedy(slm, model, prompt, dtype, tokens):
    out = subprocess.run(
        [slm, "chat", model, "-p", prompt, "--temperature", "0", "--json", "--dtype", dtype,
         "--max-tokens", str(tokens)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def dump(program, model, dtype, kernels, sequences, vocabulary):
    with tempfile.TemporaryDirectory() as folder:
        ids, out = os.path.join(folder, "ids"), os.path.join(folder, "out")
        with open(ids, "w") as f:
            for s in sequences:
                f.write(" ".join(map(str, s)) + "\n")
        subprocess.run([program, model, dtype, kernels, ids, out], check=True)
        return np.fromfile(out, dtype=np.float32).reshape(-1, vocabulary)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--slm", default="build/slm")
    p.add_argument("--dump", default="build/tests/real/dump_logits")
    p.add_argument("--kernels", default="")
    p.add_argument("--tokens", type=int, default=100)
    a = p.parse_args()
    folder, name = os.path.split(os.path.abspath(a.model))
    net = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    net.eval()
    sequences, starts = [], []
    for prompt in PROMPTS:
        got = slm_greedy(a.slm, a.model, prompt, "f32", a.tokens)
        sequences.append(got["prompt_ids"] + got["reply_ids"])
        starts.append(len(got["prompt_ids"]))
    vocabulary = net.config.vocab_size
    f32 = dump(a.dump, a.model, "f32", a.kernels, sequences, vocabulary)
    bf16 = dump(a.dump, a.model, "bf16", a.kernels, sequences, vocabulary)
    worst, kls, at, equal, replied = 0.0, [], 0, 0, 0
    for prompt, s, start in zip(PROMPTS, sequences, starts):
        with torch.no_grad():
            ref = net(torch.tensor([s])).logits[0].double()
        # The peer's choice after every prefix of slm's reply: all equal, and by induction its own
        # greedy reply is the same.
        choice = ref.argmax(1).tolist()[start - 1:-1]
        equal += choice == s[start:]
        replied += len(s) - start
        if choice != s[start:]:
            where = next(i for i, (x, y) in enumerate(zip(choice, s[start:])) if x != y)
            print(f"differs at token {where}: {prompt}", flush=True)
        mine = torch.from_numpy(f32[at:at + len(s)].copy()).double()
        half = torch.from_numpy(bf16[at:at + len(s)].copy()).double()
        at += len(s)
        worst = max(worst, float(((mine - ref).norm(dim=1) / ref.norm(dim=1)).max()))
        lp, lq = ref.log_softmax(1), half.log_softmax(1)
        kls += (lp.exp() * (lp - lq)).sum(1).tolist()
    kls = np.array(kls)
    print(f"greedy tokens equal on {equal} of {len(PROMPTS)} prompts (up to {a.tokens} tokens each, "
          f"{replied} in all, f32)")
    print(f"f32 logits: largest relative L2 difference of a row {worst:.2e}")
    print(f"bf16 KL over {len(kls)} positions: mean {kls.mean():.2e}, median {np.median(kls):.2e}, "
          f"99% {np.quantile(kls, .99):.2e}, largest {kls.max():.2e}")
    return 0 if equal == len(PROMPTS) and kls.mean() < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
