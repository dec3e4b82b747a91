#!/usr/bin/env python3
"""Compare `slm tokenize` with the Hugging Face `tokenizers` library: ids line by line, and speed.

    tools/compare-tokenizer.py MODEL TEXT              every line of a UTF-8 file
    tools/compare-tokenizer.py MODEL --random 50000    random Unicode strings
    tools/compare-tokenizer.py MODEL --vectors FILE    texts and ids of llama.cpp: FILE.inp, FILE.out
    options: --slm PROGRAM (default build/slm)  --seed N  --show N (differing lines to print)
             --same-nfc (random strings without characters that the peer's NFC treats otherwise than
             Python's: its Unicode data are older)
             --save FILE (write the peer as a tokenizer.json)

MODEL is a tokenizer.json, a folder that holds one, or a .gguf: then the peer is built from the file's
own vocabulary, and merges or scores, with the pre-tokenizer that the model's tokenizer.json has.
Control tokens written in the text are text on both sides. Both have one thread; the peer is timed
over all lines at once, slm as a whole process, loading and printing included.
Exit status 0: all lines equal, 1: some differ, 2: wrong use. Needs the Python packages gguf and
tokenizers.
"""
import argparse
import json
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
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,  # noqa: E402
                        pre_tokenizers)

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
MODERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), behavior='isolated'), byte_level(False)])


def scores_peer(field):
    """SentencePiece's scores as merges: every way to join two tokens to a third, best score first."""
    tokens, scores, types = (field('tokenizer.ggml.' + name)
                             for name in ('tokens', 'scores', 'token_type'))
    vocabulary = {text: index for index, text in enumerate(tokens)}
    text_like = {text for text, kind in zip(tokens, types) if kind == NORMAL}
    merges = []
    for text, score, kind in zip(tokens, scores, types):
        for cut in range(1, len(text) if kind == NORMAL else 0):
            if text[:cut] in text_like and text[cut:] in text_like:
                merges.append((-score, vocabulary[text[:cut]], text[:cut], text[cut:]))
    merges.sort(key=lambda merge: merge[:2])
    result = Tokenizer(models.BPE(vocabulary, [merge[2:] for merge in merges], unk_token=tokens[0],
                                  fuse_unk=True, byte_fallback=True))
    result.normalizer = normalizers.Sequence(
        [normalizers.Prepend('\u2581'), normalizers.Replace(' ', '\u2581')])
    result.decoder = decoders.Sequence([decoders.Replace('\u2581', ' '), decoders.ByteFallback(),
                                        decoders.Fuse(), decoders.Strip(' ', 1, 0)])
    return result


def peer(path):
    """The model's tokenizer as the tokenizers library runs it."""
    if os.path.isdir(path):
        path = os.path.join(path, 'tokenizer.json')
    if path.endswith('.json'):
        result = Tokenizer.from_file(path)
        result.encode_special_tokens = True
        return result
    reader = gguf.GGUFReader(path)

    def field(name):
        return reader.fields[name].contents()

    if field('tokenizer.ggml.model') == 'llama':
        return scores_peer(field)
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
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([AddedToken(text, normalized=False, special=True)
                               for text, kind in zip(tokens, types) if kind == CONTROL])
    result.encode_special_tokens = True
    result.add_tokens([AddedToken(text, normalized=False)
                       for text, kind in zip(tokens, types) if kind == USER_DEFINED])
    return result


def differing_characters():
    """Characters whose NFC is another in the tokenizers library than in Python: alone, or (when their
    combining class is another) between marks of low and high class."""
    theirs = normalizers.NFC()
    for code in range(0x110000):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or unicodedata.category(character) == 'Cn':
            continue
        probes = [character, 'a\u0345' + character, 'a' + character + '\u0334']
        if any(theirs.normalize_str(text) != unicodedata.normalize('NFC', text) for text in probes):
            yield character


def random_lines(count, seed, left_out):
    """Strings of 1 to 60 characters out of mixed alphabets: what pre-tokenizers tell apart."""
    source = random.Random(seed)
    assigned = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c) != '\n'
                and unicodedata.category(chr(c)) != 'Cn' and chr(c) not in left_out]
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


def run_slm(options, name):
    return subprocess.run([options.slm, 'tokenize', '--threads', '1', '--json', options.model, name],
                          stdout=subprocess.PIPE, check=True).stdout


def compare_vectors(options):
    """llama.cpp's own vectors: texts apart by a line, each with its ids on a line of FILE.out."""
    with open(options.vectors + '.inp', encoding='utf-8', newline='') as stream:
        texts = stream.read().split('\n__ggml_vocab_test__\n')
    with open(options.vectors + '.out', encoding='utf-8') as stream:
        expected = [[int(word) for word in line.split()] for line in stream.read().split('\n')]
    tokenizer = peer(options.model)
    equal = tested = 0
    for text, ids in zip(texts, expected):
        tested += 1
        with tempfile.NamedTemporaryFile('w', encoding='utf-8', newline='') as stream:
            stream.write(text)
            stream.flush()
            # slm reads lines: a text of several is compared with the peer, which takes it whole.
            got = [json.loads(line) for line in run_slm(options, stream.name).splitlines()]
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        lines = [tokenizer.encode(line, add_special_tokens=False).ids for line in text.split('\n')]
        same = (got or [[]]) == [ids] if '\n' not in text else (whole == ids and got == lines[:len(got)])
        equal += same
        if not same:
            print(f'{text!r}\n  slm      {got}\n  expected {ids}')
    print(f'vectors equal: {equal} of {tested}')
    return 0 if equal == tested else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model')
    parser.add_argument('text', nargs='?')
    parser.add_argument('--random', type=int, metavar='N')
    parser.add_argument('--vectors', metavar='FILE')
    parser.add_argument('--same-nfc', action='store_true')
    parser.add_argument('--save', metavar='FILE')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--show', type=int, default=5)
    parser.add_argument('--slm', default='build/slm')
    options = parser.parse_args()
    if options.save:
        peer(options.model).save(options.save)
    if options.vectors:
        return compare_vectors(options)
    if (options.text is None) == (options.random is None):
        return 0 if options.save else parser.error('give a text file, --random N or --vectors FILE')

    if options.text:
        with open(options.text, encoding='utf-8', newline='') as stream:
            lines = stream.read().split('\n')
        if lines[-1] == '':
            lines.pop()
    else:
        left_out = set(differing_characters()) if options.same_nfc else set()
        if left_out:
            print(f'left out: {len(left_out)} characters')
        lines = list(random_lines(options.random, options.seed, left_out))
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
