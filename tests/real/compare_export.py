#!/usr/bin/env python3
"""Hold what `slm export` writes against peft, transformers and llama.cpp on real weights.

  python3 tests/real/compare_export.py MODEL.gguf LORA --server llama-server [--slm build/slm]

slm answers prompts greedily in f32 with the adapter beside the weights. After every prefix of its
answers the same token must be chosen by
  - peft: the exported adapter over the exported base (f32),
  - transformers: the merged folder (f32), whose own tokenizer must give slm's prompt ids,
  - llama.cpp: the merged GGUF (F32; it answers by itself).
For BF16 and Q8_0 the KL divergence from peft's f32 distribution is printed per position, for the
folder as transformers computes it and for GGUF as slm does. Needs torch, transformers, peft, numpy.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import compare_llamacpp
from compare_transformers import PROMPTS, dump, slm_greedy


def export(slm, model, path, *options):
    done = subprocess.run([slm, "export", model, "-o", path, "--json", "--quiet", *options],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def load(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def rows(net, sequence):
    with torch.no_grad():
        return net(torch.tensor([sequence])).logits[0].double()


def kl(name, reference, others):
    values = []
    for ref, other in zip(reference, others):
        p, q = ref.log_softmax(1), other.log_softmax(1)
        values += (p.exp() * (p - q)).sum(1).tolist()
    values = np.array(values)
    print(f"{name}: KL over {len(values)} positions: mean {values.mean():.2e}, median "
          f"{np.median(values):.2e}, 99% {np.quantile(values, .99):.2e}, largest {values.max():.2e}",
          flush=True)


def same_choices(name, logits, sequences, starts):
    equal = sum(ref.argmax(1).tolist()[start - 1:-1] == s[start:]
                for ref, s, start in zip(logits, sequences, starts))
    print(f"{name}: the same greedy tokens on {equal} of {len(sequences)} prompts "
          f"({sum(len(s) - n for s, n in zip(sequences, starts))} tokens)", flush=True)
    return equal == len(sequences)


def llamacpp(server, model, sequences, starts):
    """Its own greedy replies to the same prompt ids."""
    prompts = [s[:n] for s, n in zip(sequences, starts)]
    replies = list(compare_llamacpp.replies(server, model, prompts,
                                            max(len(s) - n for s, n in zip(sequences, starts))))
    equal = sum(reply[:len(s) - n] == s[n:] for reply, s, n in zip(replies, sequences, starts))
    print(f"llama.cpp, {os.path.basename(model)}: the same greedy tokens on {equal} of "
          f"{len(sequences)} prompts", flush=True)
    return equal == len(sequences)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("lora")
    p.add_argument("--slm", default="build/slm")
    p.add_argument("--dump", default="build/tests/real/dump_logits")
    p.add_argument("--server", default="llama-server")
    p.add_argument("--tokens", type=int, default=60)
    p.add_argument("--prompts", type=int, default=len(PROMPTS))
    a = p.parse_args()
    both, ok = f"{a.model}+{a.lora}", True
    with tempfile.TemporaryDirectory() as work:
        at = {name: os.path.join(work, name) for name in
              ("adapter", "base", "f32", "bf16", "f32.gguf", "bf16.gguf", "q8_0.gguf")}
        export(a.slm, both, at["adapter"], "--format", "peft", "--base", at["base"], "--type", "f32")
        for name in ("f32", "bf16", "f32.gguf", "bf16.gguf", "q8_0.gguf"):
            report = export(a.slm, both, at[name], "--type", name.removesuffix(".gguf"))
            print(f"{name}: lost to rounding {100 * report['changes'][-1]['lost']:.3g}%", flush=True)
        prompts, sequences, starts = PROMPTS[:a.prompts], [], []
        for prompt in prompts:
            got = slm_greedy(a.slm, both, prompt, "f32", a.tokens)
            sequences.append(got["prompt_ids"] + got["reply_ids"])
            starts.append(len(got["prompt_ids"]))

        tokenizer = AutoTokenizer.from_pretrained(at["f32"])
        same = 0
        for prompt, s, start in zip(prompts, sequences, starts):
            text = tokenizer.apply_chat_template(
                [{"role": "system", "content": "You are a helpful assistant."},
                 {"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
            plain = tokenizer.apply_chat_template([{"role": "user", "content": prompt}],
                                                  tokenize=False, add_generation_prompt=True)
            same += s[:start] in (tokenizer.encode(text, add_special_tokens=False),
                                  tokenizer.encode(plain, add_special_tokens=False))
        print(f"tokenizer and template: slm's prompt ids on {same} of {len(prompts)} prompts",
              flush=True)
        ok &= same == len(prompts)

        base = load(at["base"])
        vocabulary = base.config.vocab_size
        net = PeftModel.from_pretrained(base, at["adapter"]).eval()
        reference = [rows(net, s) for s in sequences]
        ok &= same_choices("peft, adapter over base", reference, sequences, starts)
        named = json.load(open(os.path.join(at["adapter"], "adapter_config.json"),
                               encoding="utf-8"))["base_model_name_or_path"]
        ok &= os.path.realpath(named) == os.path.realpath(at["base"])
        del net, base
        net = load(at["f32"])
        ok &= same_choices("transformers, merged f32", [rows(net, s) for s in sequences], sequences,
                           starts)
        del net
        kl("transformers, bf16 folder in f32", reference,
           [rows(net, s) for net in [load(at["bf16"])] for s in sequences])
        for name in ("bf16.gguf", "q8_0.gguf"):
            flat = dump(a.dump, at[name], "f32", "", sequences, vocabulary)
            ends = np.cumsum([len(s) for s in sequences])
            kl(f"{name} in slm", reference, [torch.from_numpy(part.copy()).double()
                                             for part in np.split(flat, ends[:-1])])
        ok &= llamacpp(a.server, at["f32.gguf"], sequences, starts)
        for name in ("bf16.gguf", "q8_0.gguf"):  # told, not held: rounding may change a token
            llamacpp(a.server, at[name], sequences, starts)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
