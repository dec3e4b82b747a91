#!/usr/bin/env python3
"""Hold slm's forward against transformers (and peft) on random models of every family.

  python3 tests/real/compare_families.py [--slm build/slm] [--dump build/tests/real/dump_logits]

For each family a random model is made with transformers and saved as safetensors; 100 greedy tokens
in f32 must be the same, and the KL of bf16 logits below 1e-3. For Qwen3 a LoRA adapter is made with
peft: logits within 1e-4. Needs torch, transformers and peft.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import (LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM)

COMMON = dict(vocab_size=512, hidden_size=128, intermediate_size=344, num_hidden_layers=4,
              num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=2048)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=256, rope_theta=500000.0)
FAMILIES = {
    "llama2": (LlamaForCausalLM, LlamaConfig(**COMMON)),
    "llama3": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=LLAMA3,
                                             tie_word_embeddings=True)),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=dict(
        rope_type="linear", factor=4.0, rope_theta=10000.0), attention_bias=True)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**COMMON, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**COMMON, head_dim=32)),
}


def randomise(net, seed):
    """Random weights large enough that the choice of a token is not a tie."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in net.named_parameters():
        if "norm" in name:
            p.data = 1 + 0.2 * torch.randn(p.shape, generator=generator)
        elif p.dim() == 1:
            p.data = 0.3 * torch.randn(p.shape, generator=generator)
        else:
            p.data = torch.randn(p.shape, generator=generator) * (1.2 / p.shape[1] ** 0.5)


def dump(program, model, dtype, sequences, vocabulary):
    with tempfile.TemporaryDirectory() as folder:
        ids, out = os.path.join(folder, "ids"), os.path.join(folder, "out")
        with open(ids, "w") as f:
            for s in sequences:
                f.write(" ".join(map(str, s)) + "\n")
        subprocess.run([program, model, dtype, "", ids, out], check=True)
        return torch.from_numpy(np.fromfile(out, dtype=np.float32).reshape(-1, vocabulary)).double()


def greedy(net, prompt, tokens):
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            ids.append(int(net(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids


def compare(name, net, path, program, limit_f32):
    torch.manual_seed(3)
    prompts = [torch.randint(0, 512, (n,)).tolist() for n in (3, 40, 150)]
    sequences = [greedy(net, p, 100) for p in prompts]
    f32 = dump(program, path, "f32", sequences, 512)
    bf16 = dump(program, path, "bf16", sequences, 512)
    at, same, kls, worst = 0, 0, [], 0.0
    for p, s in zip(prompts, sequences):
        with torch.no_grad():
            ref = net(torch.tensor([s])).logits[0].double()
        mine, half = f32[at:at + len(s)], bf16[at:at + len(s)]
        at += len(s)
        same += mine.argmax(1)[len(p) - 1:-1].tolist() == s[len(p):]
        worst = max(worst, float((mine - ref).abs().max()))
        lp, lq = ref.log_softmax(1), half.log_softmax(1)
        kls += (lp.exp() * (lp - lq)).sum(1).tolist()
    kl = float(np.mean(kls))
    ok = same == len(prompts) and worst < limit_f32 and kl < 1e-3
    print(f"{name:13} greedy equal on {same} of {len(prompts)}; largest f32 difference {worst:.1e}; "
          f"bf16 KL mean {kl:.1e}, largest {max(kls):.1e}: {'ok' if ok else 'WRONG'}", flush=True)
    return ok


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--dump", default="build/tests/real/dump_logits")
    a = p.parse_args()
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, (kind, config)) in enumerate(FAMILIES.items()):
            path = os.path.join(folder, name)
            net = kind(config).eval()
            randomise(net, seed)
            net.save_pretrained(path)
            ok &= compare(name, net, path, a.dump, 1e-3)
            if name not in ("qwen3", "llama2"):
                continue
            lora = get_peft_model(net, LoraConfig(
                r=8, lora_alpha=24, use_rslora=name == "qwen3", target_modules=[
                    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
            generator = torch.Generator().manual_seed(99)
            for parameter_name, parameter in lora.named_parameters():
                if "lora_B" in parameter_name:
                    parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)
            adapter = os.path.join(folder, name + "-lora")
            lora.save_pretrained(adapter)
            ok &= compare(name + "+lora", lora.eval(), path + "+" + adapter, a.dump, 1e-4)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
