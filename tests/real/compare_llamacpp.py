#!/usr/bin/env python3
"""Hold slm's greedy tokens against llama.cpp's on one GGUF file.

  python3 tests/real/compare_llamacpp.py MODEL.gguf --server llama-server [--also FOLDER]

llama-server (started here on a loopback port) continues five prompts greedily for 100 tokens; slm's
f32 logits (dump_logits) must choose the same token after every prefix. --also names the same model
as a safetensors folder, held against the same tokens. Python's standard library and numpy.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np

PROMPTS = ["Once upon a time", "The little dog", "One day, Lily", "Tom and Mia went to the park",
           "It was dark and"]


def post(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=900))


def serve(server, model):
    """The server's process and port, once it answers."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([server, "-m", model, "--host", "127.0.0.1", "--port", str(port),
                                "-c", "512"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        time.sleep(0.2)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            break
        except OSError:
            continue
    return process, port


def replies(server, model, prompts, tokens):
    """Greedy replies to prompts of ids, or of texts, as pairs of ids then."""
    process, port = serve(server, model)
    try:
        for prompt in prompts:
            given = isinstance(prompt, list)
            ids = prompt if given else post(port, "/tokenize", {
                "content": prompt, "add_special": True})["tokens"]
            reply = post(port, "/completion", {"prompt": ids, "n_predict": tokens, "temperature": 0,
                                               "return_tokens": True, "ignore_eos": False,
                                               "cache_prompt": False})["tokens"]
            yield reply if given else (ids, reply)
    finally:
        process.kill()
        process.wait()


def choices(program, model, sequences):
    with tempfile.TemporaryDirectory() as folder:
        ids, out = os.path.join(folder, "ids"), os.path.join(folder, "out")
        with open(ids, "w") as f:
            for s in sequences:
                f.write(" ".join(map(str, s)) + "\n")
        subprocess.run([program, model, "f32", "", ids, out], check=True)
        rows = np.fromfile(out, dtype=np.float32).reshape(sum(map(len, sequences)), -1).argmax(1)
    at = 0
    for s in sequences:
        yield rows[at:at + len(s)].tolist()
        at += len(s)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--server", default="llama-server")
    p.add_argument("--dump", default="build/tests/real/dump_logits")
    p.add_argument("--also")
    p.add_argument("--tokens", type=int, default=100)
    a = p.parse_args()
    pairs = list(replies(a.server, a.model, PROMPTS, a.tokens))
    ok = True
    for model in filter(None, [a.model, a.also]):
        same = sum(mine[len(ids) - 1:-1] == reply for (ids, reply), mine in zip(
            pairs, choices(a.dump, model, [ids + reply for ids, reply in pairs])))
        print(f"{os.path.basename(model.rstrip('/'))}: the same {a.tokens} greedy tokens as llama.cpp "
              f"on {same} of {len(pairs)} prompts ({sum(len(r) for _, r in pairs)} tokens)")
        ok &= same == len(pairs)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
