#!/usr/bin/env python3
"""Hold slm's perplexity against transformers' on real weights (float32).

  python3 tests/real/compare_perplexity.py MODEL_FOLDER TEXT [--slm build/slm] [--ctx 512]

The text is cut here into windows of --ctx tokens, with a BOS where the folder's tokenizer puts one; every
token of a window but its first is scored by the model as transformers loads it. Perplexity must agree
within a relative 1e-4, counts exactly. Bytes are those of the text less the first token of each window
without a BOS, by the tokenizer's offsets. Needs torch and transformers, and a model folder with
tokenizer.json. Not part of the test suite: it needs a real model.
"""
import argparse
import json
import math
import subprocess
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def theirs(folder, text, ctx):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    bare = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = bare['input_ids'], bare['offset_mapping']
    with_special = tokenizer('a')['input_ids']
    front = with_special[:1] if with_special[0] == tokenizer.bos_token_id else []
    step, nll, count, size, windows = ctx - len(front), 0.0, 0, 0, 0
    for at in range(0, len(ids), step):
        window = front + ids[at:at + step]
        if len(window) < 2:
            break
        with torch.no_grad():
            log_prob = net(torch.tensor([window])).logits[0, :-1].double().log_softmax(1)
        nll -= float(log_prob.gather(1, torch.tensor(window[1:])[:, None]).sum())
        first = at if front else at + 1
        size += len(text[offsets[first][0]:offsets[min(at + step, len(ids)) - 1][1]].encode())
        count += len(window) - 1
        windows += 1
    return {'windows': windows, 'tokens': count, 'bytes': size, 'perplexity': math.exp(nll / count),
            'bits_per_byte': nll / math.log(2) / size}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model')
    parser.add_argument('text')
    parser.add_argument('--slm', default='build/slm')
    parser.add_argument('--ctx', type=int, default=512)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.utils.logging.disable_progress_bar()
    with open(args.text, encoding='utf-8', newline='') as stream:
        text = stream.read()
    wanted, good = theirs(args.model, text, args.ctx), True
    for dtype, within in (('f32', 1e-4), ('bf16', 1e-2)):
        out = subprocess.run([args.slm, 'perplexity', args.model, '--text', args.text, '--ctx', str(args.ctx),
                              '--dtype', dtype, '--threads', str(args.threads), '--json', '--quiet'],
                             check=True, stdout=subprocess.PIPE, encoding='utf-8').stdout
        got = json.loads(out)['models'][0]
        far = abs(got['perplexity'] / wanted['perplexity'] - 1)
        fine = far < within and all(got[key] == wanted[key] for key in ('windows', 'tokens', 'bytes'))
        good &= fine
        print(f'{dtype} ({got["kernels"]}): {got["windows"]} windows, {got["tokens"]} tokens, {got["bytes"]} '
              f'bytes; perplexity {got["perplexity"]:.6f}, transformers f32 {wanted["perplexity"]:.6f}, '
              f'relative {far:.1e}; bits per byte {got["bits_per_byte"]:.6f}, {wanted["bits_per_byte"]:.6f}: '
              f'{"ok" if fine else "WRONG"}', flush=True)
        if not fine:
            print({key: wanted[key] for key in ('windows', 'tokens', 'bytes')})
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
