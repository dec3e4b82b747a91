#!/usr/bin/env python3
"""Hold an evaluation on a real model to two promises: the same bits, and resuming after kill -9.

  python3 tests/real/compare_evaluations.py MODEL.gguf [--kills 20] [--max-tokens 64] [-k 4]

1. Threads 1 and 2, batch 1, 5 and 32, with and without prefix sharing, weights kept quantised and
   widened, memory for few answers at a time: equal `slm eval export`.
2. An evaluation killed with SIGKILL at random moments and run again until it is done: its export
   equals that of the unbroken run. The k-th kill comes at a random moment of the time that is left.
Python's standard library only. Not part of the test suite: it needs a real model and some minutes.
"""
import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time


def export(slm, db):
    out = subprocess.run([slm, "eval", "export", "--db", db], check=True, capture_output=True).stdout
    return hashlib.sha256(out).hexdigest()[:16], out.count(b"\n")


def command(a, db, *more):
    return [a.slm, "eval", a.model, "--cases", a.cases, "-k", str(a.k), "--db", db, "--max-tokens",
            str(a.max_tokens), "--seed", "7", *more]


def same_bits(a, folder):
    seen = set()
    for threads, batch, sharing, quantised, memory in [
            (2, 32, True, "widen", "0"), (1, 32, True, "keep", "0"), (2, 5, True, "keep", "0"),
            (2, 1, True, "widen", "0"), (2, 32, False, "widen", "0"), (1, 5, False, "keep", "0"),
            (2, 32, True, "widen", a.memory), (1, 32, False, "keep", a.memory)]:
        db = os.path.join(folder, f"bits-{threads}-{batch}-{sharing}-{quantised}-{memory}.db")
        more = ["--threads", str(threads), "--batch", str(batch), "--quantised", quantised,
                "--memory", memory]
        if not sharing:
            more.append("--no-prefix-sharing")
        start = time.monotonic()
        subprocess.run(command(a, db, *more), check=True, capture_output=True)
        digest, rows = export(a.slm, db)
        seen.add(digest)
        print(f"threads {threads}, batch {batch:2}, sharing {sharing!s:5}, {quantised:5}, "
              f"memory {memory:>4}: {rows} rows, {digest}, "
              f"{time.monotonic() - start:.1f} s", flush=True)
    return len(seen) == 1, digest


def kill_and_resume(a, folder, wanted, unbroken_s):
    db = os.path.join(folder, "killed.db")
    random.seed(a.seed)
    kills = done = 0
    while True:
        process = subprocess.Popen(command(a, db), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, start_new_session=True)
        if kills < a.kills:
            try:
                process.wait(random.uniform(0.02, 2.0 * unbroken_s / a.kills))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
        _, text = process.communicate()
        if process.returncode == 0:
            done += 1
            digest, rows = export(a.slm, db)
            print(f"killed {kills} times, then finished: {rows} rows, {digest}", flush=True)
            return digest == wanted and kills == a.kills
        if process.returncode != -signal.SIGKILL:
            print(text.decode(), file=sys.stderr)
            return False


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--slm", default="build/slm")
    p.add_argument("--cases", default="data/ask-first/seed.jsonl")
    p.add_argument("--kills", type=int, default=20)
    p.add_argument("--max-tokens", type=int, default=64)
    p.add_argument("--memory", default="24M", help="so little that few answers fit at a time")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("-k", type=int, default=4)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        same, digest = same_bits(a, folder)
        print("same bits:", "yes" if same else "NO", flush=True)
        start = time.monotonic()
        db = os.path.join(folder, "unbroken.db")
        subprocess.run(command(a, db), check=True, capture_output=True)
        took = time.monotonic() - start
        resumed = kill_and_resume(a, folder, digest, took)
        print("resume equals the unbroken run:", "yes" if resumed else "NO")
    return 0 if same and resumed else 1


if __name__ == "__main__":
    sys.exit(main())
