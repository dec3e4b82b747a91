#!/usr/bin/env python3
"""Hold remote models against a server that is not ours: llama.cpp's.

  python3 tests/real/remote_llamacpp.py MODEL.gguf --server llama-server [--slm build/slm]

llama-server, started here on a loopback port with a key that it wants, is asked by `slm chat` and `slm
eval` as openai:MODEL@URL: greedy answers equal those of the same file opened by slm itself as far as two
programs' numerics let them (at least the first words of each), answers are cut and counted alike, an
evaluation stores and grades every one of them, a record of it replays exactly, a judge's JSON schema is
held, a wrong key and a wrong name end at once, and the key is in no file. Python's standard library.
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

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEY = "sk-a-key-for-llama-cpp-0123456789abcdef"
QUESTIONS = ["What is the capital of France?", "Name three primary colours.",
             "My knee hurts after running. What should I do?"]
failed = 0


def check(what, condition, detail=""):
    global failed
    failed += not condition
    print(("ok    " if condition else "FAIL  ") + what + ("" if condition else f"\n      {detail}"))


def start_server(server, model):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen(
        [server, "-m", model, "--host", "127.0.0.1", "--port", str(port), "-c", "8192", "-np", "4",
         "--api-key", KEY], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        time.sleep(0.2)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return process, f"http://127.0.0.1:{port}/v1"
        except OSError:
            if process.poll() is not None:
                sys.exit(f"{server} ended with status {process.returncode}")
    sys.exit(f"{server} does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--server", required=True)
    parser.add_argument("--slm", default=os.path.join(ROOT, "build", "slm"))
    args = parser.parse_args()
    process, url = start_server(args.server, args.model)
    folder = tempfile.TemporaryDirectory()
    path = lambda name: os.path.join(folder.name, name)

    def slm(*arguments, key=KEY):
        done = subprocess.run([args.slm, *arguments], capture_output=True, text=True, timeout=900,
                              env={**os.environ, "LLAMA_KEY": key}, check=False)
        check("no key on stdout or stderr", KEY not in done.stdout + done.stderr, done.stderr)
        return done

    try:
        remote, keyed = f"openai:smollm@{url}", ["--key-env", "LLAMA_KEY"]
        for question in QUESTIONS:
            ask = ["-p", question, "--temperature", "0", "--max-tokens", "24", "--json", "-q"]
            there = json.loads(slm("chat", remote, *ask, *keyed).stdout)
            here = json.loads(slm("chat", args.model, *ask, "--dtype", "f32").stdout)
            words = [text.split()[:4] for text in (there["text"], here["text"])]
            check(f"greedy: {there['text'][:60]!r}", words[0] == words[1], here["text"])
            check("the same prompt", there["usage"]["prompt_tokens"]
                  == here["usage"]["prompt_tokens"], (there["usage"], here["usage"]))
            check("ended alike", there["finish"] == here["finish"], (there["finish"], here["finish"]))

        cases = os.path.join(ROOT, "data", "ask-first", "seed.jsonl")
        db, record = path("results.db"), path("record.jsonl")
        base = ["eval", "--cases", cases, "--cases-limit", "6", "-k", "2", "--max-tokens", "48",
                "--skip-uncovered"]
        done = slm(*base, remote, "--db", db, "--record", record, *keyed)
        check("slm eval", done.returncode == 0, done.stderr)
        rows = rows_of(args.slm, db)
        check("twelve answers, each graded", (len(rows[0]), len(rows[1])) == (12, 12), rows)
        check("with their tokens", all(r["prompt_tokens"] > 0 and r["reply_tokens"] > 0
                                       for r in rows[0].values()))
        again = slm(*base, remote, "--db", db, *keyed)
        check("again: nothing is asked", again.returncode == 0 and "remote call" not in again.stderr,
              again.stderr)
        slm(*base, f"recorded:{record}", "--db", path("replay.db"))
        replay = rows_of(args.slm, path("replay.db"))
        check("the record replays", {k: (r["reply"], r["finish"], r["prompt_tokens"])
                                     for k, r in replay[0].items()}
              == {k: (r["reply"], r["finish"], r["prompt_tokens"]) for k, r in rows[0].items()})
        judged = slm(*base, f"recorded:{record}", "--db", path("judged.db"), "--judge", remote,
                     "--judge-max-tokens", "400", "--cases-limit", "1", "-k", "1", *keyed)
        check("as a judge it is asked for JSON and gives it",
              judged.returncode == 0 and "verdicts" in judged.stderr, judged.stderr)
        print("      " + "\n      ".join(line for line in judged.stderr.splitlines()
                                         if line.startswith("judge ")))

        wrong = slm("chat", remote, "-p", "Hi", "-q", *keyed, key="sk-a-wrong-key-0123456789")
        check("a wrong key ends at once", wrong.returncode == 1 and "401" in wrong.stderr,
              wrong.stderr)
        none = slm("chat", remote, "-p", "Hi", "-q")
        check("without a key: how to give one", "--key-env" in none.stderr, none.stderr)
        lost = slm("chat", f"openai:m@{url}/nowhere", "-p", "Hi", "-q", *keyed)
        check("a wrong address ends at once", lost.returncode == 1 and "404" in lost.stderr,
              lost.stderr)
        for name in os.listdir(folder.name):
            with open(path(name), "rb") as stream:
                check(f"no key in {name}", KEY.encode() not in stream.read())
    finally:
        process.terminate()
        folder.cleanup()
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


def rows_of(slm, db):
    """Samples and scored gradings of the model's run."""
    text = subprocess.run([slm, "eval", "export", "--db", db], capture_output=True, text=True,
                          check=True).stdout
    rows = [json.loads(line) for line in text.splitlines()]
    model = {r["hash"] for r in rows if r["table"] == "runs" and r["kind"] == "model"}
    samples = {(r["case"], r["rollout"]): r for r in rows
               if r["table"] == "samples" and r["run"] in model}
    graded = {(r["case"], r["rollout"]) for r in rows
              if r["table"] == "gradings" and r["run"] in model and r["score"] is not None}
    return samples, graded


if __name__ == "__main__":
    main()
