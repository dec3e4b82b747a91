#!/usr/bin/env python3
"""info, tokenize and chat on a small model with random weights."""
import json
import os
import random
import signal
import subprocess
import time

import tiny_gguf
from harness import Suite, run, start

TEXTS = ['Since when does it hurt?', '', ' two  spaces ', 'tab\there', 'the mother and the brother',
         'Grüße, 東京, 🙂 and e\u0301', '1234567890', "I've <|im_end|> it\r", '\x01\x7f control']


def info(suite, model, facts):
    text = suite.succeeds('slm info', 'info', model)
    suite.contains('it tells the model', text, 'llama', f'{facts["parameters"]} parameters',
                   'GGUF v3', '2048 tokens', 'chatml', f'{facts["vocabulary"]} tokens')
    tree = json.loads(suite.succeeds('slm info --json --tensors', 'info', model, '--json',
                                     '--tensors'))
    suite.equal('parameters', tree['model']['parameters'], facts['parameters'])
    suite.equal('numbers in the file', tree['numbers'], facts['parameters'])
    suite.equal('tensors', len(tree['tensors']), facts['tensors'])
    suite.equal('a shape', tree['tensors'][0]['shape'], [facts['vocabulary'], 32])
    suite.equal('dtypes', tree['dtypes'], {'F32': {'tensors': facts['tensors'],
                                                   'bytes': 4 * facts['parameters']}})
    one, six = (json.loads(run('info', model, '--json', '--dtype', 'f32', '--ctx', ctx, '--batch',
                               batch).stdout)['memory']
                for ctx, batch in (('64', '1'), ('65', '3')))
    # rows are padded to 16
    suite.check('memory of the weights', 0 <= one['weight_bytes'] - 4 * facts['parameters']
                < 4 * 16 * 32, one)
    # a page: 64 tokens of K and V, 3 layers of 2 heads of at least 8 numbers in float32
    suite.check('memory of a page', one['cache_bytes'] >= 2 * 64 * 2 * 3 * 2 * 8 * 4, one)
    # an engine has two pages at least
    suite.equal('memory of six pages', six['cache_bytes'], 3 * one['cache_bytes'])
    done = run('info', model, '--template', 'none')
    suite.check('an unknown template', done.returncode == 2 and 'smollm2' in done.stderr, done)


def tokenize(suite, model):
    joined = ''.join(text.replace('\n', ' ') + '\n' for text in TEXTS)
    path = suite.write('texts.txt', joined.encode())
    lines = suite.succeeds('slm tokenize', 'tokenize', model, path).split('\n')
    suite.equal('a line for each line', len(lines) - 1, len(TEXTS))
    suite.equal('nothing for nothing', lines[1], '')
    suite.check('merges are used', len(lines[4].split()) < len(TEXTS[4]) - 5, lines[4])
    suite.check('special tokens in a text are text', '2' not in lines[7].split(), lines[7])
    special = run('tokenize', model, path, '--special').stdout.split('\n')
    suite.check('--special reads them', '2' in special[7].split(), special[7])
    suite.equal('stdin is the same', run('tokenize', model, stdin=joined).stdout, '\n'.join(lines))
    suite.equal('without the last newline', run('tokenize', model, stdin=joined[:-1]).stdout,
                '\n'.join(lines))
    arrays = suite.succeeds('tokenize --json', 'tokenize', model, path, '--json').splitlines()
    suite.equal('arrays of the same ids', [' '.join(map(str, json.loads(line))) for line in arrays],
                lines[:-1])
    back = run('tokenize', model, '--decode', stdin='\n'.join(lines))
    suite.equal('--decode gives the text back', back.stdout, joined)
    back = run('tokenize', model, '--decode', '--json', stdin='\n'.join(arrays) + '\n')
    suite.equal('--decode --json too', [json.loads(line) for line in back.stdout.splitlines()],
                TEXTS)
    for text, part in (('1 2\n3 x4\n', 'stdin:2: "x4"'), ('1 266\n', 'stdin:1: "266"'),
                       ('-1\n', 'stdin:1: "-1"'), ('5 99999999999999999999\n', 'stdin:1: "9999')):
        done = run('tokenize', model, '--decode', stdin=text)
        suite.check(f'no id: {part}', done.returncode == 1 and part in done.stderr, done)
    rng = random.Random(5)
    words = ['the', 'thin', 'mother', 'Ärzte', 'in', 'an', ',', '42', '東', '  ']
    big = ''.join(' '.join(rng.choice(words) for _ in range(rng.randrange(40))) + '\n'
                  for _ in range(60000))
    path = suite.write('big.txt', big.encode())
    one = run('tokenize', model, path, '--threads', '1').stdout
    suite.equal('as many lines', one.count('\n'), 60000)
    suite.check('threads change nothing', run('tokenize', model, path, '--threads', '2').stdout == one)
    suite.check('blocks of input change nothing',
                run('tokenize', model, '--decode', stdin=one).stdout == big)
    suite.fails('no such text', 1, ['nosuch.txt'], 'tokenize', model, suite.path('nosuch.txt'))


def chat_once(suite, model):
    base = ['chat', model, '-p', 'the mother', '--temperature', '0', '--max-tokens', '24']
    first = suite.succeeds('chat -p --json', *base, '--json')
    tree = json.loads(first)
    suite.equal('the same again', run(*base, '--json').stdout, first)
    suite.equal('one reply id, one log-probability', len(tree['logprobs']), len(tree['reply_ids']))
    suite.check('log-probabilities are none above 0', all(x <= 0 for x in tree['logprobs']), tree)
    suite.equal('usage', (tree['usage']['prompt_tokens'], tree['usage']['reply_tokens']),
                (len(tree['prompt_ids']), len(tree['reply_ids'])))
    suite.check('it ends for a reason', tree['finish'] in ('stop', 'length'), tree['finish'])
    prompt = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n' \
             'the mother<|im_end|>\n<|im_start|>assistant\n'
    ids = run('tokenize', model, '--decode', '--special', '--json',
              stdin=' '.join(map(str, tree['prompt_ids'])) + '\n').stdout
    suite.equal('the prompt is the template filled in', json.loads(ids), prompt)
    suite.equal('the text streams to stdout', run(*base).stdout, tree['text'] + '\n')
    for change in (['--threads', '2'], ['--batch', '7'], ['--no-prefix-sharing'],
                   ['--memory', '1M']):
        suite.equal('the same with ' + ' '.join(change), run(*base, '--json', *change).stdout, first)
    path = suite.write('prompt.txt', 'the mother\n')
    suite.equal('-p @FILE', run(*base[:3], '@' + path, *base[4:], '--json').stdout, first)
    suite.equal('-p -', run(*base[:3], '-', *base[4:], '--json', stdin='the mother\n').stdout, first)
    other = json.loads(run(*base, '--json', '--system', '').stdout)
    suite.equal('--system "" sends none',
                len(tree['prompt_ids']) - len(other['prompt_ids']) > 10, True)
    warm = ['chat', model, '-p', 'the mother', '--temperature', '1.5', '--max-tokens', '24', '--json']
    one, two = (json.loads(run(*warm, '--seed', seed).stdout) for seed in ('1', '2'))
    suite.check('another seed, another answer', one['reply_ids'] != two['reply_ids'], one)
    suite.equal('the same seed, the same answer', json.loads(run(*warm, '--seed', '1').stdout), one)
    middle = next((c for c in one['text'][1:] if c.isascii() and c.isprintable()), None)
    if suite.check('the answer has a character to stop at', middle is not None, one['text']):
        cut = json.loads(run(*warm, '--seed', '1', '--stop', middle).stdout)
        suite.equal('--stop ends before it', (cut['text'], cut['finish']),
                    (one['text'][:one['text'].index(middle)], 'stop'))
    suite.fails('thinking where the template has none', 1, ['chatml', '--thinking off'], *base,
                '--thinking', 'on')
    off, on = (len(json.loads(run(*base, '--json', '--template', 'qwen3', '--thinking', when)
                              .stdout)['prompt_ids']) for when in ('off', 'on'))
    suite.check('--thinking off opens with an empty thought', off > on, (off, on))
    suite.fails('a prompt longer than the context', 2, ['context 32', '--ctx'], *base, '--ctx',
                '32')


def json_schema(suite, model):
    schema = suite.write('schema.json', json.dumps({
        'type': 'object', 'additionalProperties': False,
        'properties': {'reason': {'type': 'string', 'maxLength': 8},
                       'tags': {'type': 'array', 'items': {'enum': ['a', 'b']}, 'maxItems': 2},
                       'met': {'type': 'boolean'}},
        'required': ['reason', 'tags', 'met']}))
    base = ['chat', model, '-p', 'the mother', '--json', '--json-schema']
    for seed in '12':
        reply = json.loads(suite.succeeds('chat --json-schema', *base, schema, '--seed', seed,
                                          '--temperature', '1.5', '--max-tokens', '300'))
        value = json.loads(reply['text'])
        suite.equal('it ends with the value', reply['finish'], 'stop')
        suite.equal('the keys, in order', list(value), ['reason', 'tags', 'met'])
        suite.check('and what they hold', len(value['reason']) <= 8 and len(value['tags']) <= 2 and
                    set(value['tags']) <= {'a', 'b'} and isinstance(value['met'], bool), value)
    cut = json.loads(run(*base, schema, '--max-tokens', '5').stdout)
    suite.equal('too few tokens: cut off', (cut['finish'], cut['text'][:1]), ('length', '{'))
    for name, text, status, words in (
            ('unsupported', '{"properties": {"a": {"pattern": "x"}}}', 1,
             ['#/properties/a', "'pattern' is not supported"]),
            ('impossible', '{"required": ["a"], "properties": {"a": false}}', 2, ['no value']),
            ('broken', '{"type": ', 1, ['broken.json:1'])):
        path = suite.write(name + '.json', text)
        suite.fails('a schema that is ' + name, status, words, *base, path)
    suite.fails('a schema that is not there', 1, ['no.json'], *base, 'no.json')
    suite.fails('a schema for a conversation', 2, ['-p TEXT'], 'chat', model, '--json-schema', schema)
    suite.fails('a schema and thinking', 1, ['--thinking off'], *base, schema, '--template', 'qwen3',
                '--thinking', 'on')


def conversation(suite, model):
    arguments = ['chat', model, '--temperature', '0', '--max-tokens', '8']
    one = run(*arguments, stdin='the mother\n')
    suite.check('a turn', one.returncode == 0 and one.stdout.endswith('\n'), one)
    reset = run(*arguments, stdin='the mother\n/reset\nthe mother\n/quit\nnever read\n')
    suite.equal('after /reset the conversation is new', reset.stdout, one.stdout * 2)
    carried = run(*arguments, stdin='the mother\nthe mother\n')
    suite.check('without it, it goes on', carried.stdout != one.stdout * 2
                and carried.stdout.startswith(one.stdout), carried)
    recorded = suite.write('recorded.jsonl', '{"last": "a", "reply": "first"}\n'
                           '{"last": "b", "reply": "second\\nline"}\n')
    done = run('chat', 'recorded:' + recorded, stdin='a\nb\n\na\n')
    suite.equal('recorded replies', done.stdout, 'first\nsecond\nline\nfirst\n')
    done = run('chat', 'recorded:' + recorded, stdin='a\nunknown\n')
    suite.check('a reply that is not there', done.returncode == 1 and recorded in done.stderr, done)


def interrupt(suite):
    """A reply that would take long: SIGINT ends -p within a moment and says so; and lines that come
    from a file: the rest of them is not answered."""
    model = suite.path('long.gguf')
    tiny_gguf.write(model, context=1000000)
    arguments = ['chat', model, '--max-tokens', '20000', '--temperature', '0.3', '--kernels', 'ref',
                 '--ctx', '1000000', '--memory', '2G', '--seed', '3']
    for name, more, stdin, number, wanted in (
            ('SIGINT stops an answer', ['-p', 'the'], None, signal.SIGINT, 1),
            ('SIGINT stops lines from a file', [], 'the\nthe\nthe\n', signal.SIGINT, 1),
            ('SIGTERM stops lines from a file', [], 'the\nthe\nthe\n', signal.SIGTERM,
             -signal.SIGTERM)):
        process = start(*arguments, *more, **({} if stdin is None else {'stdin': subprocess.PIPE}))
        if stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
            process.stdin = None
        process.stdout.read(1)
        begin = time.monotonic()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        if process.returncode == 0:
            suite.skip(name, 'it was over before')
            continue
        suite.check(name, process.returncode == wanted and ('interrupted' in stderr) == (wanted == 1)
                    and time.monotonic() - begin < 30, (process.returncode, stderr))


def bad_files(suite, model, facts):
    suite.fails('no such model', 1, ['nosuch.gguf'], 'chat', suite.path('nosuch.gguf'), '-p', 'x')
    suite.fails('no such model for info', 1, ['nosuch.gguf'], 'info', suite.path('nosuch.gguf'))
    suite.fails('a folder', 1, [suite.folder], 'chat', suite.folder, '-p', 'x')
    suite.fails('a model behind an API, without its key', 2, ['OPENAI_API_KEY'], 'chat',
                'openai:gpt', '-p', 'x', env={'OPENAI_API_KEY': ''})
    suite.fails('a model behind an API where one is looked into', 1, ['openai:'], 'bench',
                'openai:gpt')
    suite.fails('no recorded file', 1, ['nosuch.jsonl'], 'chat',
                'recorded:' + suite.path('nosuch.jsonl'), '-p', 'x')
    with open(model, 'rb') as stream:
        whole = stream.read()
    path = suite.write('bad.gguf', b'PK\x03\x04' + whole[4:])
    suite.fails('not a GGUF file', 1, [path, 'GGUF'], 'info', path)
    cuts = [0, 3, 4, 8, 23, 24, 100, 1000, facts['head_bytes'] - 1, facts['head_bytes'],
            len(whole) // 2, len(whole) - 1]
    for size in cuts:
        path = suite.write('cut.gguf', whole[:size])
        suite.fails(f'cut off after {size} bytes', 1, [path], 'chat', path, '-p', 'x')
    rng = random.Random(11)
    crashed = []
    for trial in range(60):  # damage in the header: an error or an answer, never a crash
        raw = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            raw[rng.randrange(facts['head_bytes'])] = rng.randrange(256)
        path = suite.write('damaged.gguf', bytes(raw))
        done = run('chat', path, '-p', 'x', '--max-tokens', '2', '--memory', '4M')
        if done.returncode not in (0, 1, 2):
            crashed.append((trial, done.returncode, done.stderr[-300:]))
    suite.equal('60 damaged files crash nothing', crashed, [])

    def no_template(entries):
        entries[:] = [entry for entry in entries if entry[0] != 'tokenizer.chat_template']

    path = suite.path('plain.gguf')
    tiny_gguf.write(path, change=no_template)
    suite.fails('no template', 1, ['--template'], 'chat', path, '-p', 'x')
    suite.succeeds('--template names one', 'chat', path, '-p', 'x', '--template', 'chatml',
                   '--max-tokens', '2')
    path = suite.path('other.gguf')
    tiny_gguf.write(path, architecture='mamba')
    suite.fails('an architecture that is not known', 1, ['mamba', 'llama'], 'chat', path, '-p', 'x')
    suite.contains('info still describes it', suite.succeeds('info on it', 'info', path), 'mamba',
                   'chatml')


def main():
    os.environ.pop('NO_COLOR', None)
    with Suite() as suite:
        model = suite.path('tiny.gguf')
        facts = tiny_gguf.write(model)
        info(suite, model, facts)
        tokenize(suite, model)
        chat_once(suite, model)
        json_schema(suite, model)
        conversation(suite, model)
        interrupt(suite)
        bad_files(suite, model, facts)
        suite.finish()


if __name__ == '__main__':
    main()
