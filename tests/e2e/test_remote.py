#!/usr/bin/env python3
"""Models behind an API: what is sent where, what becomes of every answer when the server is slow,
overloaded, wrong or hostile, what it may cost, and that a key is never seen where it does not belong."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from harness import Suite, run, start
from remote_server import Reply, Server, answer, answer_text

KEY = 'sk-test-9f3c1d2e4b5a60718293a4b5c6d7e8f9'
OTHER = 'sk-other-00112233445566778899aabbccddeeff'
ENV = {'WARD_KEY': KEY, 'OPENAI_API_KEY': OTHER, 'ANTHROPIC_API_KEY': OTHER, 'NO_PROXY': '*',
       'AZURE_OPENAI_API_KEY': OTHER, 'AWS_BEARER_TOKEN_BEDROCK': OTHER}


def make_case(name):
    return {
        'prompt_id': name, 'family': name, 'context': 'lacks', 'disposition': 'routine',
        'prompt': [{'role': 'user', 'content': f'My knee is swollen ({name}).'}],
        'rubrics': [{'criterion': 'Asks about pregnancy.', 'points': 5, 'tags': ['behaviour:seek'],
                     'check': {'asks': ['f1']}}],
        'example_tags': [],
        'follow_ups': [{'id': 'f1', 'question': 'Are you pregnant?', 'tier': 'next_step',
                        'weight': 5, 'why': 'Ibuprofen.'}],
        'key_points': [{'id': 'k1', 'must': True, 'text': 'Rest the knee.'}],
        'advice': [{'id': 's1', 'if': 'it turns hot', 'then': 'see a doctor'}],
        'never': [{'id': 'n1', 'text': 'Keep running.'}],
        'ideal_completions_data': {'ideal_completion': 'Are you pregnant?'},
    }


def write_cases(suite, name, count):
    return suite.write(name, ''.join(json.dumps(make_case(f'c{i}')) + '\n' for i in range(count)))


def samples(db):
    done = run('eval', 'export', '--db', db)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    model = {row['hash'] for row in rows if row['table'] == 'runs' and row['kind'] == 'model'}
    return {(row['case'], row['rollout']): row for row in rows
            if row['table'] == 'samples' and row['run'] in model}


def scored(db):
    done = run('eval', 'export', '--db', db)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    model = {row['hash'] for row in rows if row['table'] == 'runs' and row['kind'] == 'model'}
    return {(row['case'], row['rollout']) for row in rows
            if row['table'] == 'gradings' and row['run'] in model and row['score'] is not None}


def no_key(suite, name, *texts):
    """The key is in none of these texts, and in no file of the suite's folder."""
    found = [text[:200] for text in texts if KEY in text or OTHER in text]
    for path in glob.glob(suite.path('*')):
        with open(path, 'rb') as stream:
            content = stream.read()
        if KEY.encode() in content or OTHER.encode() in content:
            found.append(path)
    suite.check(name, not found, found)


def body_of(server):
    return server.seen[-1].json


# ---- what is sent, and what is read ---------------------------------------------------------------


def formats(suite):
    server = Server()
    ask = ['-p', 'Hello', '--system', 'Be kind.', '--json', '--seed', '7', '--max-tokens', '99',
           '--temperature', '0.5', '--top-p', '0.9', '--stop', 'END', '--quiet']
    keyed = [*ask, '--key-env', 'WARD_KEY']
    out = json.loads(suite.succeeds('openai: at a URL', 'chat', f'openai:m@{server.url}', *keyed,
                                    env=ENV))
    suite.equal('its answer', (out['text'], out['finish'], out['usage']['prompt_tokens']),
                ('You said: Hello', 'stop', 20))
    request, body = server.seen[-1], body_of(server)
    suite.equal('its address and key', (request.path, request.headers['authorization']),
                ('/v1/chat/completions', f'Bearer {KEY}'))
    seed = body.pop('seed')
    suite.check('its seed is a number', isinstance(seed, int) and 0 <= seed < 2 ** 31, seed)
    suite.equal('its body', body, {
        'max_tokens': 99, 'model': 'm', 'temperature': 0.5, 'top_p': 0.9, 'stop': ['END'],
        'messages': [{'role': 'system', 'content': 'Be kind.'},
                     {'role': 'user', 'content': 'Hello'}]})
    run('chat', f'openai:m@{server.url}', *keyed, '--seed', '8', env=ENV)
    suite.check('another seed is another seed', body_of(server)['seed'] != seed)
    run('chat', f'openai:m@{server.url}', *keyed, '--top-k', '5', '--min-p', '0.1', env=ENV)
    suite.equal('what servers of open models take', (body_of(server)['top_k'],
                                                     body_of(server)['min_p']), (5, 0.1))

    suite.succeeds('azure:', 'chat', f'azure:dep/1@http://{server.host}?api-version=2099-01-01',
                   *keyed, env=ENV)
    request, body = server.seen[-1], body_of(server)
    suite.equal('its address', request.target,
                '/openai/deployments/dep%2F1/chat/completions?api-version=2099-01-01')
    suite.equal('its key', (request.headers.get('api-key'), request.headers.get('authorization')),
                (KEY, None))
    suite.equal('its limit', (body['max_completion_tokens'], 'max_tokens' in body), (99, False))

    suite.succeeds('anthropic:', 'chat', f'anthropic:claude@http://{server.host}', *keyed, env=ENV)
    request, body = server.seen[-1], body_of(server)
    suite.equal('its address and key', (request.path, request.headers['x-api-key'],
                                        request.headers['anthropic-version'],
                                        request.headers.get('authorization')),
                ('/v1/messages', KEY, '2023-06-01', None))
    suite.equal('its body', body, {
        'max_tokens': 99, 'model': 'claude', 'system': 'Be kind.', 'temperature': 0.5,
        'top_p': 0.9, 'stop_sequences': ['END'], 'messages': [{'role': 'user', 'content': 'Hello'}]})

    suite.succeeds('bedrock:', 'chat', f'bedrock:us.maker.model-v1:0@http://{server.host}', *keyed,
                   env=ENV)
    request, body = server.seen[-1], body_of(server)
    suite.equal('its address and key', (request.path, request.headers['authorization']),
                ('/model/us.maker.model-v1%3A0/converse', f'Bearer {KEY}'))
    suite.equal('its body', body, {
        'messages': [{'role': 'user', 'content': [{'text': 'Hello'}]}],
        'system': [{'text': 'Be kind.'}],
        'inferenceConfig': {'maxTokens': 99, 'temperature': 0.5, 'topP': 0.9,
                            'stopSequences': ['END']}})
    for name, model, option in (('anthropic', f'anthropic:m@http://{server.host}', 'min-p'),
                                ('bedrock', f'bedrock:m@http://{server.host}', 'top-k'),
                                ('azure', f'azure:m@http://{server.host}', 'top-k')):
        suite.fails(f'{name} says what it does not take', 1, [f'--{option}', 'leave it out'],
                    'chat', model, *keyed, f'--{option}', '1', env=ENV)

    server.plan = lambda r: answer(r, 'Hm.', reasoning='Let me think.', cached_tokens=12,
                                   reasoning_tokens=5)
    out = json.loads(run('chat', f'openai:m@{server.url}', *ask, env=ENV).stdout)
    suite.equal('reasoning and cached tokens', (out['reasoning'], out['usage']['cached_tokens']),
                ('Let me think.', 12))
    server.plan = lambda r: answer(r, '')
    out = json.loads(suite.succeeds('an empty answer is an answer', 'chat',
                                    f'openai:m@{server.url}', *ask, env=ENV))
    suite.equal('with nothing in it', (out['text'], out['finish']), ('', 'stop'))
    for name, reply in (
            ('a filter', lambda r: answer(r, '', finish='content_filter')),
            ('a refusal', lambda r: Reply(body={'choices': [{'message': {
                'content': None, 'refusal': 'I will not.'}, 'finish_reason': 'stop'}]})),
            ('Azure\'s filter', lambda r: Reply(400, {'error': {
                'code': 'content_filter', 'message': 'The prompt was filtered.'}}))):
        server.plan = reply
        out = json.loads(suite.succeeds(f'{name} is no error', 'chat', f'openai:m@{server.url}',
                                        *ask, env=ENV))
        suite.equal('but refused', out['finish'], 'refused')
    server.plan = lambda r: answer(r, 'No.', finish='refusal')
    out = json.loads(run('chat', f'anthropic:m@http://{server.host}', *ask, env=ENV).stdout)
    suite.equal('a refusal of anthropic', out['finish'], 'refused')

    def picky(request):
        if 'max_tokens' in request.json:
            return Reply(400, {'error': {'message': "Unsupported parameter: 'max_tokens'.",
                                         'param': 'max_tokens', 'code': 'unsupported_parameter'}})
        if 'seed' in request.json:
            return Reply(422, {'detail': [{'msg': 'unknown field', 'loc': ['seed']}],
                               'message': "Extra field 'seed'"})
        return answer(request)

    server.plan = picky
    out = suite.succeeds('a server that wants other fields gets them', 'chat',
                         f'openai:m@{server.url}', '-p', 'Hello', '--quiet', env=ENV)
    suite.equal('and answers', out, 'You said: Hello\n')
    server.close()


# ---- keys -----------------------------------------------------------------------------------------


def keys(suite):
    server = Server()
    model = f'openai:m@{server.url}'
    run('chat', model, '-p', 'Hi', env=ENV)
    suite.check('OPENAI_API_KEY goes to no other host',
                'authorization' not in server.seen[-1].headers, server.seen[-1].headers)
    count = len(server.seen)
    suite.fails('no key over plain http', 2, ['plain http', 'WARD_KEY', 'https'], 'chat',
                'openai:m@http://192.0.2.1/v1', '-p', 'Hi', '--key-env', 'WARD_KEY', env=ENV)
    suite.fails('a key that is not set', 2, ['NOBODY', 'set it'], 'chat', model, '-p', 'Hi',
                '--key-env', 'NOBODY', env=ENV)
    suite.fails('a provider\'s key that is not set', 2, ['api.openai.com', 'OPENAI_API_KEY'], 'chat',
                'openai:m', '-p', 'Hi', env={**ENV, 'OPENAI_API_KEY': ''})
    suite.fails('the key in place of its name', 2, ['not the key itself'], 'chat', model, '-p',
                'Hi', '--key-env', KEY, env=ENV)
    suite.fails('one key for two hosts', 2, ['--endpoints', 'a.example', 'b.example'], 'eval',
                'openai:m@https://a.example/v1', 'openai:m@https://b.example/v1', '--cases',
                write_cases(suite, 'one.jsonl', 1), '--key-env', 'WARD_KEY', env=ENV)
    suite.fails('a key that nobody takes', 2, ['no model here takes it'], 'chat', 'openai:m', '-p',
                'Hi', '--key-env', 'WARD_KEY', env=ENV)
    suite.fails('a password in an address', 2, ['user or password'], 'chat',
                'openai:m@http://u:p@127.0.0.1/v1', '-p', 'Hi', env=ENV)
    suite.equal('none of these asked anything', len(server.seen), count)

    endpoints = suite.write('endpoints.yaml', f'endpoints:\n  - url: {server.url}\n'
                            '    key_env: WARD_KEY\n    concurrency: 3\n    timeout: 20\n'
                            '    price: {input: 1, output: 2, dated: 2025-06-01}\n')
    done = run('chat', model, '-p', 'Hi', '--endpoints', endpoints, env=ENV)
    suite.equal('an endpoints file', server.seen[-1].headers.get('authorization'), f'Bearer {KEY}')
    suite.contains('says before what is asked', done.stderr, '1 call to 127.0.0.1', 'in the clear',
                   'with the key in WARD_KEY', 'up to about US$', 'prices of 2025-06-01')
    suite.contains('and after what it cost', done.stderr, '20 prompt tokens', '8 reply tokens',
                   'US$0.0000')
    wrong = suite.write('wrong.yaml', f'endpoints:\n  - url: {server.url}\n    key: {KEY[:9]}\n')
    suite.fails('a key in that file is refused', 1, ['wrong.yaml:2', "unknown key 'key'"], 'chat',
                model, '-p', 'Hi', '--endpoints', wrong, env=ENV)

    # A server that throws the key back, in the clear and escaped.
    escaped = ''.join(f'\\u{ord(c):04x}' for c in KEY)
    texts = []
    for body in (f'{{"error": {{"message": "Incorrect API key: {KEY}", "code": "{KEY}"}}}}',
                 f'{{"error": {{"message": "Incorrect API key: {escaped}"}}}}', f'<html>{KEY}',
                 f'nonsense {KEY}'):
        server.plan = lambda r, body=body: Reply(401, body.encode())
        done = run('chat', model, '-p', 'Hi', '--key-env', 'WARD_KEY', '-v', env=ENV)
        suite.check('401 ends at once and says what to do', done.returncode == 1 and 'the key is '
                    'not taken' in done.stderr and '401' in done.stderr, done.stderr)
        texts += [done.stdout, done.stderr]
    server.plan = lambda r: Reply(body=b'x' * 100 + KEY.encode())
    done = run('chat', model, '-p', 'Hi', '--key-env', 'WARD_KEY', '-v', '--retries', '0', env=ENV)
    suite.check('nor is a part of it', 'not JSON' in done.stderr and KEY[:10] not in done.stderr,
                done.stderr)
    server.plan = lambda r: answer(r, f'Your key is {KEY}.')
    done = run('chat', model, '-p', 'Hi', '--key-env', 'WARD_KEY', '--record',
               suite.path('echo.jsonl'), env=ENV)
    suite.check('a key in an answer is blotted out', '*' * len(KEY) in done.stdout, done.stdout)
    no_key(suite, 'a key that is thrown back is not passed on', done.stdout, done.stderr, *texts)

    server.plan = lambda r: Reply(401, {'error': {'message': 'who are you'}})
    suite.fails('without a key, how to give one', 1, ['--key-env'], 'chat', model, '-p', 'Hi', '-q',
                env=ENV)
    other = Server()
    for status in (301, 307, 308):
        server.plan = lambda r, status=status: Reply(
            status, headers={'Location': other.url + '/chat/completions'})
        suite.fails(f'a redirect ({status}) is not followed', 1, ['not followed'], 'chat', model,
                    '-p', 'Hi', '-q', '--key-env', 'WARD_KEY', env=ENV)
    suite.equal('the other host was not asked', other.seen, [])
    for status, part in ((404, 'name right'), (403, 'may not use'), (402, 'credit')):
        server.forget()
        server.plan = lambda r, status=status: Reply(status, {'error': {'message': 'no such'}})
        suite.fails(f'{status} ends at once', 1, [part, str(status), 'no such', server.host], 'chat',
                    model, '-p', 'Hi', '-q', env=ENV)
        suite.equal('after one call', len(server.seen), 1)
    other.close()
    server.close()


def certificates(suite):
    if not shutil.which('openssl'):
        suite.skip('https', 'there is no openssl to make a certificate')
        return
    pair = suite.path('cert.pem'), suite.path('cert.key')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj',
                    '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-out', pair[0],
                    '-keyout', pair[1]], check=True, stderr=subprocess.DEVNULL)
    server = Server(tls=pair)
    ask = ['chat', f'openai:m@{server.url}', '-p', 'Hi', '--key-env', 'WARD_KEY']
    begin = time.monotonic()
    suite.fails('a host that nobody vouches for', 1, ['--ca-file', server.host], *ask, '-q', env=ENV)
    suite.check('is left at once', time.monotonic() - begin < 3)
    suite.equal('without a word', server.seen, [])
    done = run(*ask, '--ca-file', pair[0], env=ENV)
    suite.equal('and asked where its certificate is given', done.stdout, 'You said: Hi\n')
    suite.check('not in the clear', 'in the clear' not in done.stderr, done.stderr)
    suite.fails('a certificate that is not there', 1, ['nowhere.pem'], *ask, '-q', '--ca-file',
                suite.path('nowhere.pem'), env=ENV)
    server.close()


# ---- a hostile server -----------------------------------------------------------------------------


def flaky_faults():
    """What happens to the first try of a request; the second one is answered."""
    whole = json.dumps({'choices': [{'message': {'content': 'half'}}]}).encode()
    return [
        ('fine', None),
        ('429', lambda r: Reply(429, {'error': {'message': 'slow down'}})),
        ('429 with seconds', lambda r: Reply(429, {}, {'Retry-After': '1'})),
        ('429 with a date', lambda r: Reply(429, b'', {'Retry-After': time.strftime(
            '%a, %d %b %Y %H:%M:%S GMT', time.gmtime(time.time() + 1))})),
        ('500', lambda r: Reply(500, b'oops', content_type='text/plain')),
        ('503', lambda r: Reply(503, b'<html>busy</html>', content_type='text/html')),
        ('529', lambda r: Reply(529, {'error': {'type': 'overloaded_error'}})),
        ('slow', lambda r: Reply(200, answer(r).body, delay=1.0)),
        ('half a body', lambda r: Reply(body=whole, cut=20)),
        ('broken JSON', lambda r: Reply(body=b'{"choices": [{"message": {"cont')),
        ('closed', lambda r: Reply(close=True)),
        ('HTML with 200', lambda r: Reply(body=b'<!DOCTYPE html><html>Welcome</html>',
                                          content_type='text/html')),
        ('no choices', lambda r: Reply(body={'choices': []})),
        ('a list', lambda r: Reply(body=b'[1, 2]')),
        ('an empty body', lambda r: Reply(body=b'')),
        ('an error in 200', lambda r: Reply(body={'error': {'message': 'upstream', 'code': 502}})),
        ('wrong content type', lambda r: Reply(body=answer(r).body, content_type='text/plain')),
    ]


def hostile(suite):
    faults = flaky_faults()
    cases = write_cases(suite, 'many.jsonl', len(faults))
    lock, tries = threading.Lock(), {}

    def plan(request):
        with lock:
            key = (request.last, request.json['seed'])
            tries[key] = tries.get(key, 0) + 1
            first = tries[key] == 1
        fault = faults[int(re.search(r'\(c(\d+)\)', request.last).group(1))][1]
        return fault(request) if first and fault else answer(request)

    server = Server(plan)
    model, db, log = f'openai:m@{server.url}', suite.path('hostile.db'), suite.path('hostile.jsonl')
    begin = time.monotonic()
    done = run('eval', model, '--cases', cases, '-k', '2', '--db', db, '--record', log, '--key-env',
               'WARD_KEY', '-v', env=ENV)
    took = time.monotonic() - begin
    suite.check('an evaluation over a server with every fault ends well', done.returncode == 0,
                done.stderr)
    got = samples(db)
    suite.equal('every sample is there', set(got), {(f'c{i}', k) for i in range(len(faults))
                                                     for k in (0, 1)})
    suite.check('with its own answer and no other',
                all(f'({case})' in row['reply'] for (case, _), row in got.items()), got)
    suite.equal('each is graded', scored(db), set(got))
    suite.check(f'within a minute ({took:.0f} s)', took < 60)
    asked = max(tries.values())
    suite.equal('none was asked more often than it had to be', asked, 2)
    no_key(suite, 'no key in any output, log, database or record', done.stdout, done.stderr)

    replay = suite.path('replay.db')
    server.close()
    suite.succeeds('the record replays', 'eval', f'recorded:{log}', '--cases', cases, '-k', '2',
                   '--db', replay, '--quiet')
    again = samples(replay)
    parts = ('reply', 'finish', 'prompt_tokens', 'reply_tokens', 'transcript')
    suite.equal('exactly', {k: [v.get(p) for p in parts] for k, v in again.items()},
                {k: [v.get(p) for p in parts] for k, v in got.items()})
    suite.equal('for its owner alone', oct(os.stat(log).st_mode & 0o777), oct(0o600))


def broken_faults():
    """What never gets better: the sample is counted as failed, the others are not touched."""
    return [
        ('fine', answer),
        ('always 500', lambda r: Reply(500, {'error': {'message': 'always'}})),
        ('always HTML', lambda r: Reply(body=b'<html>no</html>', content_type='text/html')),
        ('too large', lambda r: Reply(endless=True)),
        ('hangs before', lambda r: Reply(delay=3600)),
        ('hangs within', lambda r: Reply(body=b'{"choices"', length=500, hang=True)),
        ('too long a prompt', lambda r: Reply(400, {'error': {
            'message': 'maximum context length exceeded'}})),
        ('invalid UTF-8', lambda r: Reply(body=answer(r, 'a\x01b').body.replace(
            b'a\\u0001b', b'caf\xe9 (c7) \xff'))),
        ('NUL and lone surrogates', lambda r: Reply(body=b'{"choices":[{"message":{"content":'
                                                    b'"zero \\u0000 (c8)"}}]}')),
        ('fine too', answer),
    ]


def broken(suite):
    faults = broken_faults()
    bad = {1, 2, 3, 4, 5, 6}
    cases = write_cases(suite, 'broken.jsonl', len(faults))
    server = Server(lambda r: faults[int(re.search(r'\(c(\d+)\)', r.last).group(1))][1](r))
    db = suite.path('broken.db')
    base = ['eval', f'openai:m@{server.url}', '--cases', cases, '-k', '2', '--db', db, '--retries',
            '1', '--timeout', '2']
    done = run(*base, env=ENV)
    suite.check('what cannot be answered is counted',
                done.returncode == 1 and '12 of 20 answers failed' in done.stderr, done.stderr)
    got = samples(db)
    suite.equal('the others are there, none is invented', set(got), {
        (f'c{i}', k) for i in range(len(faults)) if i not in bad for k in (0, 1)})
    suite.equal('and graded', scored(db), set(got))
    suite.contains('broken text is mended', got['c7', 0]['reply'], 'caf\ufffd (c7) \ufffd')
    suite.contains('a zero too', got['c8', 0]['reply'], 'zero \ufffd (c8)')
    server.plan = answer
    suite.succeeds('when the server is well again the same command goes on', *base, env=ENV)
    suite.equal('to all of them', len(samples(db)), 20)
    server.close()


def overload(suite):
    """A host that takes four calls at once: the rest is told 429."""
    cases = write_cases(suite, 'overload.jsonl', 30)
    server = Server()
    refused = []

    async def plan(request):
        if server.now > 4:
            refused.append(server.now)
            return Reply(429, {'error': {'message': 'too many'}}, {'Retry-After-Ms': '200'})
        return Reply(body=answer(request).body, delay=0.1)

    server.plan = plan
    db = suite.path('overload.db')
    done = run('eval', f'openai:m@{server.url}', '--cases', cases, '-k', '2', '--db', db,
               '--concurrency', '32', env=ENV)
    suite.check('an overloaded host is asked less at a time', done.returncode == 0, done.stderr)
    suite.equal('and answers all', len(samples(db)), 60)
    suite.check('few are turned away', len(refused) < 120, len(refused))
    suite.contains('it is said', done.stderr, '429', 'calls at once')
    server.close()


# ---- money ----------------------------------------------------------------------------------------


def money(suite):
    cases = write_cases(suite, 'money.jsonl', 20)
    server = Server(lambda r: Reply(body=answer(r, prompt_tokens=30, reply_tokens=1000).body,
                                    delay=0.02))
    prices = suite.write('prices.yaml', 'dated: 2025-06-01\nmodels:\n'
                         '  - {model: m, input: 10, output: 1000}\n')
    model, db = f'openai:m@{server.url}', suite.path('money.db')
    base = ['eval', model, '--cases', cases, '-k', '2', '--db', db, '--max-tokens', '1000',
            '--prices', prices]
    done = run(*base, '--dry-run', env=ENV)
    suite.check('--dry-run ends well', done.returncode == 0 and done.stdout == '', done.stderr)
    suite.contains('it says what would be', done.stderr, '40 calls to 127.0.0.1', 'prompt tokens',
                   'up to 40,000 reply tokens', 'US$40', '2025-06-01')
    suite.equal('asks nothing', len(server.seen), 0)
    suite.check('and makes nothing', not os.path.exists(db))
    done = run(*base, '--max-cost', '10.5', env=ENV)
    suite.check('--max-cost stops in time', done.returncode == 1 and '--max-cost' in done.stderr
                and 'goes on from there' in done.stderr, done.stderr)
    got = len(samples(db))
    spent = got * (30 * 10 + 1000 * 1000) / 1e6
    suite.check(f'after {got} answers', 9 <= got <= 10 and spent <= 10.5 and len(server.seen) == got,
                f'{got} answers, {len(server.seen)} calls')
    suite.equal('all of them graded', len(scored(db)), got)
    done = run(*base, '--dry-run', env=ENV)
    suite.contains('the rest is what is still to be asked', done.stderr, f'{40 - got} calls')
    suite.succeeds('with more money it goes on', *base, '--max-cost', '100', env=ENV)
    suite.equal('to the end', (len(samples(db)), len(server.seen)), (40, 40))
    answers = suite.write('answers.jsonl', '{"reply": "Are you pregnant?"}\n')
    done = run('eval', f'recorded:{answers}', '--cases', cases, '-k', '1', '--judge', model,
               '--judge-max-tokens', '10', '--db', suite.path('judged.db'), '--dry-run', env=ENV)
    suite.contains('a judge\'s calls are told too', done.stderr, '20 calls', '200 reply tokens')
    done = run('eval', f'recorded:{answers}', '--cases', cases, '--dry-run', '--db',
               suite.path('judged.db'))
    suite.contains('and that there are none', done.stderr, 'on this machine: no call')
    suite.fails('a limit needs a price', 2, ['--max-cost', 'price of m', '--prices'], 'chat', model,
                '-p', 'Hi', '--max-cost', '1', env=ENV)
    server.forget()
    suite.fails('--offline asks nobody', 1, ['--offline', server.host], 'chat', model, '-p', 'Hi',
                '--offline', env=ENV)
    suite.fails('not even for a key', 1, ['--offline', 'api.anthropic.com'], 'chat', 'anthropic:m',
                '-p', 'Hi', '--offline', env={**ENV, 'ANTHROPIC_API_KEY': ''})
    suite.equal('indeed', server.seen, [])
    server.close()


# ---- many, killed, recorded -----------------------------------------------------------------------


def thousand(suite):
    cases = write_cases(suite, 'thousand.jsonl', 250)
    server = Server(lambda r: Reply(body=answer(r).body, delay=2 + (r.json['seed'] % 100) / 100))
    db = suite.path('thousand.db')
    begin = time.monotonic()
    done = run('eval', f'openai:m@{server.url}', '--cases', cases, '-k', '4', '--db', db,
               '--concurrency', '1000', env=ENV)
    took = time.monotonic() - begin
    suite.check('a thousand slow calls', done.returncode == 0, done.stderr)
    suite.equal('are answered', len(samples(db)), 1000)
    suite.equal('each asked once', len(server.seen), 1000)
    suite.check(f'at once ({server.most} together)', server.most > 900, server.most)
    suite.check(f'in seconds ({took:.1f} s)', took < 30, took)
    server.close()


def killing(suite):
    cases = write_cases(suite, 'kill.jsonl', 30)
    server = Server(lambda r: Reply(body=answer(r).body, delay=0.15))
    db, log = suite.path('kill.db'), suite.path('kill.jsonl.record')
    base = ['eval', f'openai:m@{server.url}', '--cases', cases, '-k', '2', '--db', db, '--quiet',
            '--concurrency', '4', '--record', log]
    process = start(*base, env={**os.environ, **ENV})
    time.sleep(1.7)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with open(log, 'ab') as stream:
        stream.write(b'{"messages": [{"role": "us')  # as if it had been killed within a line
    before = len(samples(db))
    suite.check(f'killed in the middle ({before} of 60)', 0 < before < 60)
    suite.succeeds('it goes on', *base, env=ENV)
    suite.equal('to the end', len(samples(db)), 60)
    suite.check('without asking again for what was stored', len(server.seen) <= 60 + 60 - before,
                len(server.seen))
    suite.succeeds('the record is whole', 'eval', f'recorded:{log}', '--cases', cases, '-k', '2',
                   '--db', suite.path('killed-replay.db'), '--quiet')
    suite.equal('too', len(samples(suite.path('killed-replay.db'))), 60)
    server.close()


def conversation(suite):
    server = Server()
    done = run('chat', f'openai:m@{server.url}', stdin='Hello\nAnd you?\n', env=ENV)
    suite.equal('a conversation', done.stdout, 'You said: Hello\nYou said: And you?\n')
    suite.equal('has all that was said', [m['role'] for m in body_of(server)['messages']],
                ['system', 'user', 'assistant', 'user'])
    two = suite.path('two.jsonl')
    for name in ('m', 'n'):
        run('chat', f'openai:{name}@{server.url}', '-p', f'Hello {name}', '--record', two, env=ENV)
    suite.fails('a record of two models needs a name', 1, [f'recorded:{two}#'], 'chat',
                f'recorded:{two}', '-p', 'Hello m', '-q')
    suite.equal('and is read by it', run('chat', f'recorded:{two}#openai:n@{server.url}', '-p',
                                         'Hello n', '-q').stdout, 'You said: Hello n\n')
    suite.fails('nobody at home is told soon', 1, ['does the server run?'], 'chat',
                'openai:m@http://127.0.0.1:9/v1', '-p', 'Hi', '-q', '--retries', '2', env=ENV)
    server.close()


def main():
    suite = Suite()
    with suite:
        formats(suite)
        keys(suite)
        certificates(suite)
        hostile(suite)
        broken(suite)
        overload(suite)
        money(suite)
        thousand(suite)
        killing(suite)
        conversation(suite)
        no_key(suite, 'no file that was made holds a key')
    suite.finish()


if __name__ == '__main__':
    main()
