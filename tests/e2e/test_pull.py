#!/usr/bin/env python3
"""slm pull against a hub that breaks off, lies, redirects and hands out hostile names; Python packages
from a folder; addresses; paths; two at once; kill -9; tokens that must stay where they belong."""
import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import tiny_gguf
from harness import Suite, run, start
from pull_server import Fault, Hub, Server, sha256

TOKEN = 'hf_secretsecretsecret'
MODEL = {
    'README.md': b'# a model\n',
    'config.json': b'{"model_type": "llama"}\n',
    'tokenizer.json': b'{"version": "1.0"}' * 3000,
    'model.safetensors': random.Random(1).randbytes(700000),
    'pytorch_model.bin': b'x' * 1000,
}
NEEDED = ['config.json', 'model.safetensors', 'tokenizer.json']


def read(path):
    with open(path, 'rb') as stream:
        return stream.read()


def all_files(folder):
    return sorted(os.path.relpath(os.path.join(root, name), folder)
                  for root, _, names in os.walk(folder) for name in names)


class Bench:
    """A suite with a hub, and an empty cache for each part."""

    def __init__(self, suite, hub):
        self.suite, self.hub = suite, hub
        self.parts = 0
        self.fresh()

    def fresh(self):
        """Another empty cache, and a hub that behaves."""
        self.parts += 1
        self.cache = self.suite.path(f'cache{self.parts}')
        hub = self.hub
        hub.faults, hub.listing, hub.retry_after, hub.needs_token = {}, None, None, None
        hub.forget()

    @property
    def env(self):
        return {'XDG_CACHE_HOME': self.cache, 'HF_ENDPOINT': self.hub.url, 'HF_TOKEN': '',
                'PIP_CONFIG_FILE': os.devnull}

    def pull(self, *arguments, **env):
        return run('pull', *arguments, env={**self.env, **env}, timeout=60)

    def pulls(self, name, *arguments, **env):
        """It must succeed. Returns the path."""
        done = self.pull(*arguments, **env)
        self.suite.check(name, done.returncode == 0 and done.stdout.count('\n') == 1,
                         f'exit status {done.returncode}\n{done.stderr}\n{done.stdout}')
        return done.stdout.rstrip('\n')

    def refuses(self, name, parts, *arguments, status=1, **env):
        """It must fail with these words, and nothing on stdout. Returns stderr."""
        done = self.pull(*arguments, **env)
        self.suite.check(name, done.returncode == status and done.stdout == ''
                         and all(part in done.stderr for part in parts),
                         f'exit status {done.returncode}\nwanted {parts}\n{done.stderr}')
        return done.stderr

    def holds(self, name, path, files):
        """The folder has these files of MODEL, right and whole, and nothing else but slm's own."""
        found = [file for file in all_files(path) if not file.startswith('.slm-')]
        right = found == sorted(files) and all(read(os.path.join(path, file)) == MODEL[file]
                                               for file in files)
        self.suite.check(name, right, found)


def wrong_use(bench):
    bench.refuses('no endpoint', ['--endpoint', 'HF_ENDPOINT'], 'hf:o/folder', status=2,
                  HF_ENDPOINT='')
    for endpoint in ('hub.example', 'ftp://hub', 'https://', 'https://me:password@hub', 'https://h?x'):
        text = bench.refuses(f'the endpoint {endpoint}', ['https://HOST'], 'hf:o/folder',
                             '--endpoint', endpoint, status=2)
        bench.suite.check('it repeats no password', 'password@' not in text, text)
    bench.refuses('a source that is none', ['hf:OWNER/NAME', 'pip:PACKAGE==VERSION'], 'nothing/here')
    bench.refuses('a hub source that is none', ['hf:OWNER/NAME'], 'hf:name', status=2)
    bench.refuses('a package without a version', ['pip:PACKAGE==VERSION'], 'pip:name', status=2)
    bench.refuses('a hash that is none', ['64 hex digits'], 'hf:o/folder', '--sha256', 'abc', status=2)
    bench.refuses('no home', ['-o FOLDER'], 'hf:o/folder', status=2, XDG_CACHE_HOME='', HOME='')
    bench.suite.equal('nobody was asked', bench.hub.server.seen, [])


def folder_model(bench):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    listed = bench.pull('hf:o/folder', '--list')
    suite.equal('--list marks what slm needs',
                [line.split()[-1] for line in listed.stdout.splitlines() if line.startswith('*')],
                NEEDED)
    suite.equal('and shows the rest', len(listed.stdout.splitlines()), len(MODEL))
    suite.check('and makes nothing', not os.path.exists(bench.cache))
    path = bench.pulls('a folder', 'hf:o/folder')
    suite.equal('it is in the cache', path,
                f'{bench.cache}/slm/models/hf/o/folder/{hub.commit("o/folder")}')
    bench.holds('with what slm needs', path, NEEDED)
    hub.forget()
    suite.equal('again', bench.pulls('again', 'hf:o/folder'), path)
    suite.equal('only the list is asked for', (len(hub.server.seen), hub.requests()), (1, []))
    hub.forget()
    suite.equal('offline', bench.pulls('offline', 'hf:o/folder', '--offline', HF_ENDPOINT=''), path)
    suite.equal('by the commit', bench.pulls('by the commit', '--offline',
                                             f'hf:o/folder@{hub.commit("o/folder")}'), path)
    suite.equal('nobody is asked', hub.server.seen, [])
    bench.refuses('offline, another revision', ['refs/pr/1', 'without --offline'],
                  'hf:o/folder@refs/pr/1', '--offline')
    bench.refuses('offline, another model', ['hf:o/other', 'without --offline'], 'hf:o/other',
                  '--offline')
    bench.refuses('offline, a file that was not pulled', ['README.md', 'without --offline'],
                  'hf:o/folder', '--offline', '--include', 'README.md')
    bench.pulls('a revision with slashes', 'hf:o/folder@refs/pr/1')
    suite.check('is one name in the address', 'refs%2Fpr%2F1' in hub.server.seen[-1][0],
                hub.server.seen[-1])
    tree = json.loads(bench.pull('hf:o/folder', '--json').stdout)
    suite.equal('--json', (tree['source'], tree['revision'], tree['commit'], tree['path'],
                           [file['name'] for file in tree['files']], tree['fetched_bytes']),
                ('hf:o/folder', 'main', hub.commit('o/folder'), path, NEEDED, 0))
    suite.equal('with hashes', [file.get('sha256') for file in tree['files']],
                [None, sha256(MODEL['model.safetensors']), None])


def damage(bench):
    suite = bench.suite
    bench.fresh()
    path = bench.pulls('a folder to damage', 'hf:o/folder')
    model = os.path.join(path, 'model.safetensors')
    times = os.stat(model)
    damaged = bytearray(MODEL['model.safetensors'])
    damaged[500] ^= 1
    with open(model, 'r+b') as stream:
        stream.write(damaged)
    bench.refuses('offline, damaged', ['model.safetensors'], 'hf:o/folder', '--offline')
    done = bench.pull('hf:o/folder')
    suite.check('a damaged file is told', 'not what it should be' in done.stderr, done.stderr)
    bench.holds('and brought again', path, NEEDED)
    with open(model, 'r+b') as stream:
        stream.write(damaged)
    os.utime(model, ns=(times.st_atime_ns, os.stat(model).st_mtime_ns))
    record = json.loads(read(os.path.join(path, '.slm-pull.json')))
    noted = next(file for file in record['files'] if file['name'] == 'model.safetensors')
    os.utime(model, ns=(noted['checked_ns'], noted['checked_ns']))
    bench.pulls('by its date it is unchanged', 'hf:o/folder')
    suite.equal('so it is taken', read(model), bytes(damaged))
    bench.pulls('--check', 'hf:o/folder', '--check')
    bench.holds('hashes it', path, NEEDED)
    with open(os.path.join(path, '.slm-pull.json'), 'w', encoding='utf-8') as stream:
        stream.write('{')
    bench.refuses('a damaged note', ['.slm-pull.json', 'remove it'], 'hf:o/folder')


def own_folder(bench):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    folder = suite.path('mine/model')
    suite.equal('-o', bench.pulls('-o', 'hf:o/folder', '-o', folder), folder)
    bench.holds('the files are there', folder, NEEDED)
    suite.check('and not in the cache', not os.path.exists(bench.cache))
    bench.pulls('-o, offline', 'hf:o/folder', '-o', folder, '--offline')
    bench.refuses('another model', ['hf:o/folder already'], 'hf:o/ggufs', '-o', folder, status=2)
    with open(os.path.join(folder, 'config.json'), 'w', encoding='utf-8') as stream:
        stream.write('{"mine": true}')
    bench.refuses('a file that was changed', ['config.json', 'was it changed'], 'hf:o/folder', '-o',
                  folder, status=2)
    suite.equal('it is not replaced', read(os.path.join(folder, 'config.json')), b'{"mine": true}')
    other = suite.path('other')
    os.mkdir(other)
    with open(os.path.join(other, 'config.json'), 'w', encoding='utf-8') as stream:
        stream.write('{"mine": true}')
    bench.refuses('a file in the way', ['config.json'], 'hf:o/folder', '-o', other, status=2)
    suite.equal('nothing else is left', all_files(other), ['.slm-pull.lock', 'config.json'])
    os.unlink(os.path.join(folder, 'config.json'))
    before = hub.commit('o/folder')
    hub.commits['o/folder'] = '9' * 40
    bench.refuses('another commit', [before, '9' * 40], 'hf:o/folder', '-o', folder, status=2)
    bench.pulls('the old one by name, offline, but for a file',
                f'hf:o/folder@{before}', '-o', folder, '--offline', '--include', 'tokenizer.json')
    hub.commits['o/folder'] = before
    bench.pulls('the file is brought again', 'hf:o/folder', '-o', folder)
    bench.holds('alone', folder, NEEDED)


def breaking(bench):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    hub.faults = {'model.safetensors': Fault(break_after=300000),
                  'tokenizer.json': Fault(break_after=20000)}
    bench.holds('transfers that break off go on', bench.pulls('broken off', 'hf:o/folder'), NEEDED)
    ranges = [headers.get('Range') for path, headers in hub.storage.seen]
    suite.equal('from where they were', ranges, [None, 'bytes=300000-', 'bytes=600000-'])
    bench.fresh()
    hub.faults = {'model.safetensors': Fault(break_after=300000, ignore_ranges=True)}
    bench.refuses('a host that never gets further', ['run again to go on'], 'hf:o/folder')
    hub.faults = {}
    bench.holds('is gone on with', bench.pulls('later', 'hf:o/folder'), NEEDED)
    suite.equal('where it was', hub.storage.seen[-1][1].get('Range'), 'bytes=300000-')
    bench.fresh()
    hub.faults = {'model.safetensors': Fault(length=10)}
    bench.refuses('a length that is too long', ['700010 bytes, not the 700000'], 'hf:o/folder')
    bench.fresh()
    hub.faults = {'model.safetensors': Fault(length=-10)}
    bench.refuses('a length that is too short', ['699990 bytes, not the 700000'], 'hf:o/folder')
    for fault, words in ((Fault(content=b'y' * 700000), ['sha256', sha256(MODEL['model.safetensors'])]),
                         (Fault(endless=True), ['more than the 700000 bytes'])):
        bench.fresh()
        hub.faults = {'model.safetensors': fault}
        bench.refuses(f'wrong content: {words[0]}', words, 'hf:o/folder')
        suite.check('leaves nothing', not any('model.safetensors' in name
                                              for name in all_files(bench.cache)))
    bench.fresh()
    hub.faults = {'tokenizer.json': Fault(content=b'z' * len(MODEL['tokenizer.json']))}
    bench.refuses('a small file of wrong content', ['tokenizer.json', 'git hash'], 'hf:o/folder')
    for status, words in ((404, ['404']), (403, ['403', 'HF_TOKEN']), (401, ['401', 'HF_TOKEN']),
                          (429, ['429', 'later']), (500, ['500', 'later'])):
        hub.faults = {'tokenizer.json': Fault(status=status)}
        bench.refuses(f'a file with status {status}', ['tokenizer.json', *words], 'hf:o/folder')
    bench.refuses('--max-bytes', ['--max-bytes'], 'hf:o/folder', '--max-bytes', '1K')
    hub.faults = {}
    bench.holds('then all is well', bench.pulls('at last', 'hf:o/folder'), NEEDED)


def listings(bench):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    commit = '"sha": "%s"' % ('a' * 40)
    for status, words in ((401, ['401', 'HF_TOKEN']), (403, ['403', 'HF_TOKEN']),
                          (404, ['404', 'o/folder at main']), (500, ['500', 'later']),
                          (418, ['418', 'address of a hub'])):
        hub.listing = status
        bench.refuses(f'a list with status {status}', words, 'hf:o/folder')
    hub.listing, hub.retry_after = 429, '17'
    bench.refuses('asked too often', ['429', 'in 17 s'], 'hf:o/folder')
    hub.listing, hub.retry_after = 401, None
    bench.refuses('a token that is not enough', ['401', 'terms'], 'hf:o/folder', HF_TOKEN=TOKEN)
    for text, words in ((b'<html>', ['list of files of hf:o/folder']), (b'[]', ['list of files']),
                        (b'{"siblings": []}', ['sha']), (b'{"sha": "main", "siblings": []}', ['40 hex']),
                        (b'{%s}' % commit.encode(), ['siblings']),
                        (b'{%s, "siblings": [3]}' % commit.encode(), ['siblings[0]']),
                        (b'{%s, "siblings": []}' % commit.encode(), ['no model that slm reads']),
                        (b'{%s, "siblings": [{"rfilename": "a.gguf", "lfs": {}}]}' % commit.encode(),
                         ['sha256']),
                        ('endless', ['more than 32 MiB'])):
        hub.listing = text
        bench.refuses(f'a list that is {str(text)[:40]}', words, 'hf:o/folder')
    for name, shown in (('../../x', '../../x'), ('/etc/x', '/etc/x'), ('a\\..\\b', 'a\\..\\b'),
                        ('a/../../b', 'a/../../b'), ('a\n\x1b[2Jb', 'a\\x0a\\x1b[2Jb'),
                        ('.slm-pull.json', '.slm-pull.json'), ('a//b', 'a//b'), ('', '""')):
        siblings = [{'rfilename': 'm.gguf', 'size': 3}, {'rfilename': name, 'size': 3}]
        hub.listing = json.dumps({'sha': 'a' * 40, 'siblings': siblings}).encode()
        hub.forget()
        bench.refuses(f'a file named {name!r}', [shown, 'nothing was fetched'], 'hf:o/folder')
        suite.equal('no file is asked for', hub.requests(), [])
    siblings = [{'rfilename': 'm.gguf', 'size': 3}, {'rfilename': 'm.gguf', 'size': 4}]
    hub.listing = json.dumps({'sha': 'a' * 40, 'siblings': siblings}).encode()
    bench.refuses('a name given twice', ['twice'], 'hf:o/folder')
    hub.listing = json.dumps({'sha': 'a' * 40, 'siblings': [{'rfilename': 'm.gguf', 'size': 10**18}]})
    hub.listing = hub.listing.encode()
    bench.refuses('more than the disk holds', ['make room'], 'hf:o/folder', '--max-bytes', '0')
    suite.check('nothing was made beside the cache',
                not os.path.exists('/etc/x') and not os.path.exists(bench.suite.path('x')))


def ggufs(bench, model):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    bench.refuses('several GGUF files', ['m-Q4_0.gguf', 'm-Q8_0.gguf', '--include'], 'hf:o/ggufs',
                  status=2)
    listed = bench.pull('hf:o/ggufs', '--list', '--json')
    suite.equal('--list --json', {file['name']: file['chosen']
                                  for file in json.loads(listed.stdout)['files']},
                {name: False for name in hub.repos['o/ggufs']})
    path = bench.pulls('one of them', 'hf:o/ggufs', '--include', '*Q8*', '--sha256', sha256(model))
    suite.check('its path is printed', path.endswith('/m-Q8_0.gguf') and read(path) == model, path)
    suite.succeeds('slm info reads it', 'info', path)
    bench.pulls('the other one beside it', 'hf:o/ggufs', '--include', 'm-Q4_0.gguf')
    bench.pulls('offline, the first', 'hf:o/ggufs', '--include', '*Q8*', '--offline')
    bench.refuses('a hash that the hub does not tell', [sha256(b''), sha256(model)], 'hf:o/ggufs',
                  '--include', '*Q8*', '--sha256', sha256(b''))
    bench.refuses('a glob that matches nothing', ['*Q5*'], 'hf:o/ggufs', '--include', '*Q5*')


def tokens(bench):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    hub.needs_token = TOKEN
    bench.refuses('without the token', ['401', 'HF_TOKEN'], 'hf:o/folder')
    hub.forget()
    done = bench.pull('hf:o/folder', '-v', HF_TOKEN=TOKEN)
    suite.check('with the token', done.returncode == 0, done.stderr)
    suite.check('the hub gets it', all(headers.get('Authorization') == f'Bearer {TOKEN}'
                                       for _, headers in hub.server.seen), hub.server.seen)
    suite.check('the storage host does not', hub.storage.seen and not any(
        TOKEN in str(request) for request in hub.storage.seen), hub.storage.seen)
    kept = b''.join(read(os.path.join(bench.cache, name)) for name in all_files(bench.cache))
    suite.check('nor do logs and files', TOKEN not in done.stdout + done.stderr
                and TOKEN.encode() not in kept and b'signature=secret' not in kept)
    hub.faults = {'README.md': Fault(redirect=f'{hub.storage.url}/o/folder/README.md')}
    hub.forget()
    bench.pulls('a small file elsewhere', 'hf:o/folder', '--include', 'README.md', HF_TOKEN=TOKEN)
    suite.check('gets no token either', not any(TOKEN in str(r) for r in hub.storage.seen)
                and len(hub.storage.seen) == 1, hub.storage.seen)
    hub.faults = {'tokenizer.json': Fault(redirect=f'{hub.url}/o/folder/resolve/'
                                          f'{hub.commit("o/folder")}/tokenizer.json')}
    text = bench.refuses('a redirect to itself', ['tokenizer.json'], 'hf:o/folder', '-o',
                         suite.path('loop'), HF_TOKEN=TOKEN)
    suite.check('its message holds no token', TOKEN not in text, text)
    hub.faults = {}
    # A proxy sees what goes over plain http.
    proxy = Server(lambda handler: handler.reply(404, b'no'))
    text = bench.refuses('over plain http', ['not sent', '404'], 'hf:o/folder', '--endpoint',
                         'http://hub.invalid', HF_TOKEN=TOKEN, http_proxy=proxy.url, no_proxy='')
    suite.check('the token stays at home', proxy.seen and TOKEN not in str(proxy.seen) + text,
                proxy.seen)
    proxy.seen.clear()
    bench.pulls('but this machine may have it', 'hf:o/folder', HF_TOKEN=TOKEN, http_proxy=proxy.url,
                no_proxy='')
    suite.check('and no proxy', TOKEN not in str(proxy.seen), proxy.seen)
    proxy.shutdown()
    proxy.server_close()
    bench.refuses('a token with a line break', ['line break'], 'hf:o/folder', status=2,
                  HF_TOKEN=f'{TOKEN}\nX: y')


def two_at_once_and_kills(bench):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    hub.faults = {'model.safetensors': Fault(slow=0.1)}
    environment = {**os.environ, **bench.env}
    first = start('pull', 'hf:o/folder', env=environment)
    part = None
    for _ in range(200):
        part = next((os.path.join(bench.cache, name) for name in all_files(bench.cache)
                     if name.endswith('model.safetensors.part')), None)
        if part and os.path.getsize(part) > 50000:
            break
        time.sleep(0.05)
    bench.refuses('two at once', ['another slm is using'], 'hf:o/folder')
    first.send_signal(signal.SIGKILL)
    first.communicate()
    size = os.path.getsize(part)
    suite.check('killed in the middle', 50000 < size < 700000, size)
    hub.faults = {}
    hub.forget()
    path = bench.pulls('after the kill', 'hf:o/folder')
    bench.holds('everything is there', path, NEEDED)
    suite.equal('and nothing was fetched twice', [headers.get('Range')
                                                  for _, headers in hub.storage.seen],
                [f'bytes={size}-'])
    suite.check('files that were whole not at all',
                not any('config.json' in name for name in hub.requests()), hub.requests())


def addresses(bench, model):
    suite, hub = bench.suite, bench.hub
    bench.fresh()
    hub.repos['o/url'] = {'my model.gguf': model}
    url = f'{hub.storage.url}/o/url/my%20model.gguf'
    path = bench.pulls('an address', f'{url}?key=secret', '--sha256', sha256(model).upper())
    suite.check('gives its file', os.path.basename(path) == 'my model.gguf' and read(path) == model,
                path)
    hub.forget()
    suite.equal('again', bench.pulls('again', f'{url}?key=secret'), path)
    bench.pulls('offline', f'{url}?key=secret', '--offline')
    suite.equal('nobody is asked', hub.storage.seen, [])
    kept = b''.join(read(os.path.join(bench.cache, name)) for name in all_files(bench.cache))
    suite.check('the query is kept nowhere', b'key=secret' not in kept)
    bench.refuses('offline, another', ['without --offline'], url, '--offline')
    bench.fresh()
    bench.refuses('a wrong hash', [sha256(b''), sha256(model)], url, '--sha256', sha256(b''))
    hub.faults = {'my model.gguf': Fault(break_after=len(model) // 3 + 1)}
    done = bench.pull(url)
    suite.check('no hash is told', done.returncode == 0 and 'no hash is known' in done.stderr,
                done.stderr)
    suite.equal('broken off and whole', read(done.stdout.rstrip('\n')), model)
    bench.fresh()
    hub.faults = {'my model.gguf': Fault(endless=True)}
    bench.refuses('an endless body', ['more than the 1000000 bytes'], url, '--max-bytes', '1000000')
    hub.faults = {'my model.gguf': Fault(status=404)}
    bench.refuses('not there', ['404', 'check the name'], url)
    bench.refuses('no host', ['127.0.0.1:1'], 'http://127.0.0.1:1/m.gguf')
    bench.refuses('a folder', ['file name'], f'{hub.storage.url}/o/', status=2)
    bench.refuses('a password', ['password'], 'https://me:secret@host/m.gguf', status=2)
    hub.faults = {}
    folder = suite.path('from-url')
    bench.pulls('-o', f'{url}?v=1', '-o', folder)
    bench.refuses('another query is another file', ['already'], f'{url}?v=2', '-o', folder, status=2)


def paths(bench, model):
    suite = bench.suite
    bench.fresh()
    file = suite.write('local.gguf', model)
    suite.equal('a file', bench.pulls('a file', file), file)
    suite.equal('by its hash', bench.pulls('by its hash', file, '--sha256', sha256(model)), file)
    bench.refuses('by another hash', [sha256(b''), sha256(model)], file, '--sha256', sha256(b''))
    folder = suite.path('local')
    os.makedirs(os.path.join(folder, 'deep'))
    for name, content in MODEL.items():
        suite.write(os.path.join('local', name), content)
    suite.equal('a folder', bench.pulls('a folder', folder), folder)
    copy = suite.path('copied')
    suite.equal('a copy', bench.pulls('a copy', folder, '-o', copy), copy)
    bench.holds('of what slm needs', copy, NEEDED)
    bench.pulls('again', folder, '-o', copy)
    suite.equal('onto itself', bench.pulls('onto itself', folder, '-o', folder), folder)
    suite.write(os.path.join('copied', 'config.json'), b'changed')
    bench.refuses('a copy that was changed', ['config.json', 'was it changed'], folder, '-o', copy,
                  status=2)
    bench.refuses('an empty folder', ['no model that slm reads'], os.path.join(folder, 'deep'))
    suite.check('nothing of it is in the cache', not os.path.exists(bench.cache))


def make_wheel(folder, name, members):
    """NAME-1.0-py3-none-any.whl with these members, as pip wants it."""
    path = os.path.join(folder, f'{name}-1.0-py3-none-any.whl')
    info = f'{name}-1.0.dist-info'
    members = {**members, f'{info}/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n',
               f'{info}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n'
                                'Tag: py3-none-any\n'}
    rows = []
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as wheel:
        for member, content in members.items():
            content = content if isinstance(content, bytes) else content.encode()
            wheel.writestr(member, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()
            rows.append(f'{member},sha256={digest},{len(content)}')
        wheel.writestr(f'{info}/RECORD', '\n'.join([*rows, f'{info}/RECORD,,']) + '\n')
    return path


def packages(bench, model):
    suite = bench.suite
    bench.fresh()
    bench.refuses('no such Python', ['cannot start', '/no/python', '--python'], 'pip:a==1.0',
                  '--python', '/no/python')
    bench.refuses('a Python without pip', ['pip did not bring a==1.0', 'exit status'], 'pip:a==1.0',
                  '--python', 'false')
    python = sys.executable
    if subprocess.run([python, '-m', 'pip', '--version'], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        suite.skip('packages', 'this Python has no pip')
        return
    shelf = suite.path('shelf')
    os.mkdir(shelf)
    pip = {'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': shelf}
    make_wheel(shelf, 'gguf_model', {'gguf_model/__init__.py': '', 'gguf_model/m.gguf': model})
    make_wheel(shelf, 'folder_model', {f'folder_model/m/{name}': content
                                       for name, content in MODEL.items()})
    make_wheel(shelf, 'evil_model', {'m.gguf': model, '../../evil': b'x'})
    path = bench.pulls('a package', 'pip:gguf-model==1.0', '--sha256', sha256(model), '--python',
                       python, **pip)
    suite.check('its GGUF file', path.endswith('/pip/gguf-model/1.0/gguf_model/m.gguf')
                and read(path) == model, path)
    suite.equal('nothing else is kept', [name for name in all_files(bench.cache)
                                         if not os.path.basename(name).startswith('.slm-')],
                [os.path.relpath(path, bench.cache)])
    suite.succeeds('slm info reads it', 'info', path)
    suite.equal('again', bench.pulls('again, without pip', 'pip:gguf-model==1.0', '--python',
                                     '/no/python'), path)
    suite.equal('offline', bench.pulls('offline', 'pip:gguf-model==1.0', '--offline'), path)
    os.unlink(path)
    bench.refuses('offline, removed', ['m.gguf', 'without --offline'], 'pip:gguf-model==1.0',
                  '--offline')
    bench.pulls('removed, brought again', 'pip:gguf-model==1.0', '--python', python, **pip)
    bench.refuses('offline, another', ['pip:other==1.0', 'without --offline'], 'pip:other==1.0',
                  '--offline')
    folder = suite.path('unpacked')
    path = bench.pulls('a folder in a package', 'pip:folder-model==1.0', '-o', folder, '--python',
                       python, **pip)
    suite.equal('its path', path, os.path.join(folder, 'folder_model/m'))
    bench.holds('what slm needs of it', path, NEEDED)
    bench.refuses('a member that leads out', ['../../evil', 'leads out'], 'pip:evil-model==1.0',
                  '--python', python, **pip)
    suite.check('is nowhere', not any('evil' in name and 'wheel' not in name and 'pip/evil' not in name
                                      for name in all_files(suite.folder) if 'shelf' not in name))
    bench.refuses('a wrong hash', [sha256(b''), sha256(model)], 'pip:gguf-model==1.0', '-o',
                  suite.path('wrong'), '--sha256', sha256(b''), '--python', python, **pip)
    bench.refuses('no such version', ['pip did not bring gguf-model==2.0'], 'pip:gguf-model==2.0',
                  '--python', python, **pip)
    damaged = bytearray(read(make_wheel(shelf, 'bad_model', {'m.gguf': os.urandom(20000)})))
    damaged[10000] ^= 1
    suite.write(os.path.join('shelf', 'bad_model-1.0-py3-none-any.whl'), bytes(damaged))
    bench.refuses('a damaged wheel', ['bad_model'], 'pip:bad-model==1.0', '--python', python, **pip)
    # A package that is only there as source would have to be run to be built.
    marker = suite.path('was-run')
    source = suite.path('source-1.0')
    os.mkdir(source)
    suite.write('source-1.0/setup.py', f'open({marker!r}, "w")\n')
    suite.write('source-1.0/PKG-INFO', 'Metadata-Version: 2.1\nName: source\nVersion: 1.0\n')
    subprocess.run(['tar', 'czf', os.path.join(shelf, 'source-1.0.tar.gz'), '-C', suite.folder,
                    'source-1.0'], check=True)
    bench.refuses('a source package', ['pip did not bring source==1.0'], 'pip:source==1.0',
                  '--python', python, **pip)
    suite.check('is not run', not os.path.exists(marker))
    trap = suite.path('trap')
    os.mkdir(trap)
    suite.write('trap/pip.py', f'open({marker!r}, "w")\n')
    done = run('pull', 'pip:folder-model==1.0', '--python', python, env={**bench.env, **pip}, cwd=trap)
    suite.check('nor is a pip.py that lies about', done.returncode == 0
                and not os.path.exists(marker), done.stderr)


def main():
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'):
        os.environ.pop(name, None)
    hub = Hub()
    with Suite() as suite:
        path = suite.path('tiny.gguf')
        tiny_gguf.write(path)
        model = read(path)
        hub.repos = {'o/folder': MODEL, 'o/ggufs': {'README.md': b'#', 'm-Q4_0.gguf': b'GGUF' + model,
                                                    'm-Q8_0.gguf': model}}
        hub.big = {'model.safetensors', 'm-Q4_0.gguf', 'm-Q8_0.gguf'}
        bench = Bench(suite, hub)
        wrong_use(bench)
        folder_model(bench)
        damage(bench)
        own_folder(bench)
        breaking(bench)
        listings(bench)
        ggufs(bench, model)
        tokens(bench)
        two_at_once_and_kills(bench)
        addresses(bench, model)
        paths(bench, model)
        packages(bench, model)
        hub.close()
        suite.finish()


if __name__ == '__main__':
    main()
