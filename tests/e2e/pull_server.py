"""A hub on 127.0.0.1 for test_pull.py, with a storage host beside it that big files are redirected to.

It tells files as the Hub's API does (siblings with size, blobId and lfs.sha256) and serves them, and it
misbehaves as told: `hub.faults[NAME]` is what happens to the file of that name.
"""
import hashlib
import http.server
import json
import threading
import time
import urllib.parse


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_oid(content):
    return hashlib.sha1(b'blob %d\0' % len(content) + content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer):
        super().__init__(('127.0.0.1', 0), Handler)
        self.answer = answer
        self.seen = []  # (method and target, headers)
        threading.Thread(target=self.serve_forever, kwargs={'poll_interval': 0.05},
                         daemon=True).start()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_address[1]}'

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.close_connection = True
        self.server.seen.append((self.path, dict(self.headers.items())))
        self.server.answer(self)

    def reply(self, status, body=b'', headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Fault:
    """What goes wrong with a file."""

    def __init__(self, break_after=0, ignore_ranges=False, length=0, status=0, content=None,
                 endless=False, slow=0.0, redirect=None):
        self.break_after, self.ignore_ranges, self.length = break_after, ignore_ranges, length
        self.status, self.content, self.endless = status, content, endless
        self.slow, self.redirect = slow, redirect


class Hub:
    """`repos` maps OWNER/NAME to {file name: bytes}; names in `big` are kept in LFS, on the storage
    host. `listing`, if set, is sent instead of the list of files (bytes, or a status)."""

    def __init__(self):
        self.repos, self.big, self.faults, self.commits = {}, set(), {}, {}
        self.listing = None
        self.retry_after = None
        self.needs_token = None
        self.storage = Server(self.answer_storage)
        self.server = Server(self.answer)
        self.url = self.server.url

    def close(self):
        for server in (self.server, self.storage):
            server.shutdown()
            server.server_close()

    def forget(self):
        self.server.seen.clear()
        self.storage.seen.clear()

    def requests(self):
        """Targets of all requests for files."""
        return [path for path, _ in self.server.seen + self.storage.seen if '/api/' not in path]

    def commit(self, repo):
        return self.commits.setdefault(repo, hashlib.sha1(repo.encode()).hexdigest())

    def siblings(self, repo):
        files = []
        for name, content in self.repos[repo].items():
            entry = {'rfilename': name, 'size': len(content), 'blobId': git_oid(content)}
            if name in self.big:
                entry['blobId'] = git_oid(b'a pointer')
                entry['lfs'] = {'sha256': sha256(content), 'size': len(content), 'pointerSize': 135}
            files.append(entry)
        return files

    def answer(self, handler):
        path = urllib.parse.urlsplit(handler.path).path
        if self.needs_token and handler.headers.get('Authorization') != f'Bearer {self.needs_token}':
            handler.reply(401, b'{"error": "who are you"}')
        elif path.startswith('/api/models/'):
            self.answer_list(handler, path)
        else:
            owner, name, word, commit, file = path.lstrip('/').split('/', 4)
            file = urllib.parse.unquote(file)
            repo = f'{owner}/{name}'
            if repo not in self.repos or word != 'resolve' or commit != self.commit(repo):
                handler.reply(404, b'no such thing')
            elif file in self.faults and self.faults[file].redirect:
                handler.reply(302, b'', {'Location': self.faults[file].redirect})
            elif file in self.big:
                target = f'{self.storage.url}/{repo}/{urllib.parse.quote(file)}?signature=secret'
                handler.reply(302, b'', {'Location': target})
            else:
                self.send(handler, repo, file)

    def answer_list(self, handler, path):
        owner, name, word, revision = path[len('/api/models/'):].split('/')
        repo = f'{owner}/{name}'
        if isinstance(self.listing, int):
            handler.reply(self.listing, b'{"error": "no"}',
                          {'Retry-After': self.retry_after} if self.retry_after else None)
        elif self.listing == 'endless':
            self.send_endless(handler, b' ')
        elif self.listing is not None:
            handler.reply(200, self.listing)
        elif (repo not in self.repos or word != 'revision'
              or urllib.parse.unquote(revision) not in ('main', 'refs/pr/1', self.commit(repo))):
            handler.reply(404, b'{"error": "no such model"}')
        else:
            tree = {'id': repo, 'sha': self.commit(repo), 'siblings': self.siblings(repo)}
            handler.reply(200, json.dumps(tree).encode())

    def answer_storage(self, handler):
        _, owner, name, file = urllib.parse.urlsplit(handler.path).path.split('/', 3)
        self.send(handler, f'{owner}/{name}', urllib.parse.unquote(file))

    def send_endless(self, handler, piece):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(piece * 65536)
        except OSError:
            pass

    def send(self, handler, repo, file):
        fault = self.faults.get(file, Fault())
        content = self.repos[repo][file] if fault.content is None else fault.content
        if fault.status:
            handler.reply(fault.status, b'no')
            return
        if fault.endless:
            self.send_endless(handler, b'x')
            return
        begin, wanted = 0, handler.headers.get('Range')
        if wanted and not fault.ignore_ranges:
            begin = int(wanted[len('bytes='):].rstrip('-'))
        if begin and begin >= len(content):
            handler.reply(416, b'', {'Content-Range': f'bytes */{len(content)}'})
            return
        handler.send_response(206 if begin else 200)
        if begin:
            handler.send_header('Content-Range', f'bytes {begin}-{len(content) - 1}/{len(content)}')
        handler.send_header('ETag', f'"{sha256(content)[:20]}"')
        handler.send_header('Content-Length', str(len(content) - begin + fault.length))
        handler.end_headers()
        rest = content[begin:]
        if fault.break_after:
            rest = rest[:fault.break_after]
        step = 20000 if fault.slow else len(rest) or 1
        for at in range(0, len(rest), step):
            handler.wfile.write(rest[at:at + step])
            handler.wfile.flush()
            time.sleep(fault.slow)
