#!/usr/bin/env python3
"""The sentence encoder beside sentence-transformers: ids, vectors, and sentences per second.

    tests/real/compare_encoder.py FOLDER TEXTS [--count 1000] [--threads 2] [--rounds 5]

FOLDER is a BERT encoder (`tools/fetch-encoder` prints one); TEXTS has a text a line, or JSON Lines with
a `question` (an inventory of `slm data import`). It wants sentence-transformers and the built program
(`make BUILD=DIR all DIR/tests/real/dump_vectors`; DIR in --build, else build).

 - ids: `slm tokenize` must give those of the Hugging Face tokenizers library on every line of TEXTS;
 - vectors: on COUNT texts drawn with a fixed seed the largest difference of any number must be at most
   1e-4, for every kernel path of this CPU;
 - speed: both on THREADS threads, in turns, medians of ROUNDS; sentence-transformers with batches of 32
   and of 64, of which the faster counts. Exit status 1 unless slm is at least twice as fast.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read_texts(path):
    texts = []
    with open(path, encoding='utf-8') as stream:
        for line in stream.read().split('\n'):
            if line.startswith('{'):
                line = json.loads(line)['question']
            line = ' '.join(line.split())
            if line:
                texts.append(line)
    return texts


def write_lines(folder, texts, name='texts'):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as stream:
        stream.write('\n'.join(texts) + '\n')
    return path


def compare_ids(slm, encoder, texts, folder):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(os.path.join(encoder, 'tokenizer.json'))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    done = subprocess.run([slm, 'tokenize', encoder, write_lines(folder, texts)], check=True,
                          stdout=subprocess.PIPE, encoding='utf-8')
    differ = 0
    for text, got in zip(texts, done.stdout.split('\n'), strict=False):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if got != ' '.join(map(str, ids)):
            differ += 1
            if differ <= 5:
                print(f'differs: {text[:100]!r}', file=sys.stderr)
    print(f'ids: {len(texts)} lines, {differ} differ')
    return differ == 0


def dump(program, encoder, kernels, threads, path, out, repeat=0):
    done = subprocess.run([program, encoder, kernels, str(threads), path, out, str(repeat)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8',
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return [float(line) for line in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('folder')
    parser.add_argument('texts')
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--build', default=os.path.join(ROOT, 'build'))
    args = parser.parse_args()
    import numpy
    import torch
    from sentence_transformers import SentenceTransformer
    torch.set_num_threads(args.threads)
    slm = os.path.join(args.build, 'slm')
    program = os.path.join(args.build, 'tests/real/dump_vectors')
    texts = read_texts(args.texts)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        good &= compare_ids(slm, args.folder, texts, folder)
        random.Random(1).shuffle(texts)
        texts = texts[:args.count]
        path, out = write_lines(folder, texts), os.path.join(folder, 'vectors')
        model = SentenceTransformer(args.folder, device='cpu')

        def theirs(batch):
            begin = time.perf_counter()
            vectors = model.encode(texts, batch_size=batch, normalize_embeddings=True,
                                   show_progress_bar=False)
            return vectors, time.perf_counter() - begin

        want, _ = theirs(32)
        few = write_lines(folder, texts[:100], 'few')  # plain C in double takes its time
        for kernels in ('ref', 'avx2', 'avx512', 'avx512bf16', 'amx'):
            try:
                dump(program, args.folder, kernels, args.threads, few if kernels == 'ref' else path,
                     out)
            except RuntimeError as error:
                print(f'vectors: {kernels}: {error}')
                continue
            got = numpy.fromfile(out, numpy.float32).reshape(-1, want.shape[1])
            apart = float(numpy.abs(got - want[:len(got)]).max())
            good &= apart <= 1e-4
            print(f'vectors: {kernels}: {len(got)} texts, largest difference {apart:.2g}')

        times = {'slm': [], 'batches of 32': [], 'batches of 64': []}
        for _ in range(args.rounds):
            times['slm'] += dump(program, args.folder, '', args.threads, path, out, 1)
            times['batches of 32'].append(theirs(32)[1])
            times['batches of 64'].append(theirs(64)[1])
        rates = {name: len(texts) / statistics.median(taken) for name, taken in times.items()}
        for name, rate in rates.items():
            print(f'speed: {name}: {rate:.0f} texts/s')
        ratio = rates['slm'] / max(rates['batches of 32'], rates['batches of 64'])
        good &= ratio >= 2
        print(f'speed: {ratio:.2f} times sentence-transformers, {args.threads} threads each')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
