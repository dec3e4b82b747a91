"""A server on 127.0.0.1 that speaks the APIs of remote models, and misbehaves as told.

One asyncio loop in a thread, so that a thousand slow calls cost nothing. It knows /v1/chat/completions,
/v1/embeddings, Azure's path, Anthropic's /v1/messages and Bedrock's /model/NAME/converse. A plan decides
what happens to each request: plan(request) returns a Reply, or a coroutine that returns one; the answers
it makes by itself are a function of the last message and the seed, so that asking again gives the same.
"""
import asyncio
import json
import ssl
import threading
import urllib.parse


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path = urllib.parse.urlsplit(target).path
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    @property
    def last(self):
        """The text of the last message."""
        content = self.json['messages'][-1]['content']
        return content if isinstance(content, str) else content[-1]['text']


class Reply:
    """`body` may be bytes or what becomes JSON. length: what Content-Length says, None: the truth.
    cut: send so many bytes of the body and close. delay: before anything; hang: after the head, for
    ever. close: say nothing at all and close."""

    def __init__(self, status=200, body=b'', headers=None, length=None, cut=None, delay=0.0,
                 hang=False, close=False, content_type='application/json', endless=False):
        self.status, self.headers = status, headers or {}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.length, self.cut, self.delay, self.hang = length, cut, delay, hang
        self.close, self.content_type, self.endless = close, content_type, endless


def answer_text(request):
    return f'You said: {request.last}'


def answer(request, text=None, finish=None, prompt_tokens=20, reply_tokens=8, cached_tokens=None,
           reasoning=None, reasoning_tokens=None):
    """A good reply in the format of the path that was asked."""
    text = answer_text(request) if text is None else text
    if request.path.endswith('/messages'):
        content = [{'type': 'thinking', 'thinking': reasoning}] if reasoning else []
        usage = {'input_tokens': prompt_tokens - (cached_tokens or 0), 'output_tokens': reply_tokens}
        if cached_tokens is not None:
            usage['cache_read_input_tokens'] = cached_tokens
        return Reply(body={'type': 'message', 'role': 'assistant', 'usage': usage,
                           'content': content + [{'type': 'text', 'text': text}],
                           'stop_reason': finish or 'end_turn'})
    if request.path.endswith('/converse'):
        return Reply(body={'output': {'message': {'role': 'assistant', 'content': [{'text': text}]}},
                           'stopReason': finish or 'end_turn',
                           'usage': {'inputTokens': prompt_tokens, 'outputTokens': reply_tokens}})
    if request.path.endswith('/embeddings'):
        data = [{'index': i, 'embedding': [len(t), 1.0, 0.5]}
                for i, t in enumerate(request.json['input'])]
        return Reply(body={'data': data[::-1], 'usage': {'prompt_tokens': prompt_tokens}})
    usage = {'prompt_tokens': prompt_tokens, 'completion_tokens': reply_tokens}
    if cached_tokens is not None:
        usage['prompt_tokens_details'] = {'cached_tokens': cached_tokens}
    if reasoning_tokens is not None:
        usage['completion_tokens_details'] = {'reasoning_tokens': reasoning_tokens}
    message = {'role': 'assistant', 'content': text}
    if reasoning:
        message['reasoning_content'] = reasoning
    return Reply(body={'object': 'chat.completion', 'usage': usage, 'choices': [
        {'index': 0, 'message': message, 'finish_reason': finish or 'stop'}]})


REASONS = {200: 'OK', 400: 'Bad Request', 401: 'Unauthorized', 404: 'Not Found',
           429: 'Too Many Requests', 500: 'Internal Server Error', 503: 'Service Unavailable'}


class Server:
    """`tls`: a certificate's file and its key's; None: plain http."""

    def __init__(self, plan=answer, tls=None):
        self.plan, self.tls = plan, None
        if tls:
            self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.tls.load_cert_chain(*tls)
        self.seen = []  # requests
        self.now = self.most = 0  # calls at once
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.ready.wait()

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            asyncio.start_server(self.serve, '127.0.0.1', 0, backlog=4096, ssl=self.tls))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    @property
    def url(self):
        return f'http{"s" if self.tls else ""}://127.0.0.1:{self.port}/v1'

    @property
    def host(self):
        return f'127.0.0.1:{self.port}'

    def forget(self):
        self.seen.clear()
        self.most = 0

    async def read(self, reader):
        head = await reader.readuntil(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        method, target, _ = lines[0].split(' ')
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(':')
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get('content-length', 0)))
        return Request(method, target, headers, body)

    async def serve(self, reader, writer):
        try:
            while await self.serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve_one(self, reader, writer):
        request = await self.read(reader)
        self.seen.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            reply = self.plan(request)
            if asyncio.iscoroutine(reply):
                reply = await reply
            return await self.send(reply, writer)
        finally:
            self.now -= 1

    async def send(self, reply, writer):
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.close:
            return False
        length = len(reply.body) if reply.length is None else reply.length
        head = [f'HTTP/1.1 {reply.status} {REASONS.get(reply.status, "Status")}',
                f'Content-Type: {reply.content_type}']
        head += [f'{name}: {value}' for name, value in reply.headers.items()]
        if not reply.endless:
            head.append(f'Content-Length: {length}')
        writer.write('\r\n'.join(head).encode() + b'\r\n\r\n')
        if reply.endless:
            while True:
                writer.write(b' ' * 65536)
                await writer.drain()
        writer.write(reply.body if reply.cut is None else reply.body[:reply.cut])
        await writer.drain()
        if reply.hang:
            await asyncio.sleep(3600)
        return reply.cut is None and length == len(reply.body)
