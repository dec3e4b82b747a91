#!/usr/bin/env python3
"""Compare `slm tokenize` with the Hugging Face `tokenizers` library: ids line by line, and speed.

    tools/compare-tokenizer.py MODEL.gguf TEXT            every line of a UTF-8 file
    tools/compare-tokenizer.py MODEL.gguf --random 50000  random Unicode strings
    options: --slm PROGRAM (default build/slm)  --seed N  --show N (differing lines to print)

The peer is built from the GGUF's own vocabulary and merges, with the pre-tokenizer that the model's
tokenizer.json has. Control tokens written in the text are text on both sides. Both have one
thread; the peer is timed over all lines at once, slm as a whole process, loading and printing
included.
Exit status 0: all lines equal, 1: some differ, 2: wrong use. Needs the Python packages gguf and
tokenizers.
"""
import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ['TOKENIZERS_PARALLELISM'] = 'false'
os.environ['RAYON_NUM_THREADS'] = '1'

import gguf  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers  # noqa: E402

USER_DEFINED = 4
MODERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), behavior='isolated'), byte_level(False)])


def peer(path):
    """The model's tokenizer as the tokenizers library runs it."""
    reader = gguf.GGUFReader(path)

    def field(name):
        return reader.fields[name].contents()

    pre = field('tokenizer.ggml.pre')
    tokens = field('tokenizer.ggml.tokens')
    vocabulary = {text: index for index, text in enumerate(tokens)}
    merges = [tuple(line.split(' ')) for line in field('tokenizer.ggml.merges')]
    result = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == 'llama-bpe'))
    if pre == 'smollm':
        result.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), byte_level(True)])
    elif pre == 'gpt-2':
        result.pre_tokenizer = byte_level(True)
    elif pre == 'qwen2':
        result.normalizer = normalizers.NFC()
        result.pre_tokenizer = split_then_bytes(MODERN % r'\p{N}')
    elif pre == 'llama-bpe':
        result.pre_tokenizer = split_then_bytes(MODERN % r'\p{N}{1,3}')
    else:
        sys.exit(f'compare-tokenizer: pre-tokenizer {pre!r} is not known here')
    types = field('tokenizer.ggml.token_type')
    result.add_tokens([AddedToken(text, normalized=False)
                       for text, kind in zip(tokens, types) if kind == USER_DEFINED])
    return result


def random_lines(count, seed):
    """Strings of 1 to 60 characters out of mixed alphabets: what pre-tokenizers tell apart."""
    source = random.Random(seed)
    assigned = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c) != '\n'
                and unicodedata.category(chr(c)) != 'Cn']
    spaces = [c for c in assigned if unicodedata.category(c)[0] == 'Z'] + list(' \t\r\x0b\x0c\x85')
    digits = [c for c in assigned if unicodedata.category(c)[0] == 'N']
    marks = [c for c in assigned if unicodedata.category(c)[0] == 'M']
    latin = [chr(c) for c in range(0xA0, 0x250)]
    ascii_text = [chr(c) for c in range(32, 127)]
    pieces = ["'s", "'S", "'re", "'LL", "'ve", "'\u017f", '  ', '   ', ' ', '\r', "don't", ' the',
              ' dose', '10 mg', '\u200b', '\u180e', '<|im_end|>', '\U0001f469\u200d\u2695\ufe0f']
    alphabets = [assigned, spaces, digits, marks, latin, ascii_text, ascii_text, pieces, pieces]
    for _ in range(count):
        used = source.choices(alphabets, k=source.randint(1, 4))
        yield ''.join(source.choice(source.choice(used)) for _ in range(source.randint(1, 60)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model')
    parser.add_argument('text', nargs='?')
    parser.add_argument('--random', type=int, metavar='N')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--show', type=int, default=5)
    parser.add_argument('--slm', default='build/slm')
    options = parser.parse_args()
    if (options.text is None) == (options.random is None):
        parser.error('give a text file or --random N')

    if options.text:
        with open(options.text, encoding='utf-8', newline='') as stream:
            lines = stream.read().split('\n')
        if lines[-1] == '':
            lines.pop()
    else:
        lines = list(random_lines(options.random, options.seed))
    size = sum(len(line.encode()) + 1 for line in lines)

    with tempfile.NamedTemporaryFile('w', encoding='utf-8', newline='') as stream:
        stream.write(''.join(line + '\n' for line in lines))
        stream.flush()
        began = time.monotonic()
        run = subprocess.run([options.slm, 'tokenize', '--threads', '1', options.model,
                              stream.name], stdout=subprocess.PIPE, check=True)
        ours_s = time.monotonic() - began
    ours = run.stdout.decode().split('\n')[:-1]
    if len(ours) != len(lines):
        sys.exit(f'compare-tokenizer: slm printed {len(ours)} lines for {len(lines)}')

    tokenizer = peer(options.model)
    tokenizer.encode('warm up')
    began = time.monotonic()
    theirs = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
    theirs_s = time.monotonic() - began

    differing = 0
    for number, (line, mine, other) in enumerate(zip(lines, ours, theirs), 1):
        expected = ' '.join(map(str, other.ids))
        if mine != expected:
            differing += 1
            if differing <= options.show:
                print(f'line {number}: {line!r}\n  slm  {mine}\n  peer {expected}')
    print(f'lines equal: {len(lines) - differing} of {len(lines)} ({size / 1e6:.1f} MB)')
    print(f'slm {ours_s:.2f} s ({size / ours_s / 1e6:.1f} MB/s, whole process), '
          f'tokenizers {theirs_s:.2f} s ({size / theirs_s / 1e6:.1f} MB/s), '
          f'{theirs_s / ours_s:.1f} times as fast')
    return 1 if differing else 0


if __name__ == '__main__':
    sys.exit(main())
