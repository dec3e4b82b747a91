#!/usr/bin/env python3
"""slm synth: questions become cases through a made-up model, which is slow, sometimes writes nonsense,
and is asked by a program that is killed again and again."""
import asyncio
import collections
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import time

import remote_server
from harness import ROOT, Suite, run, start

QUESTIONS = 200


def inventory(suite, count, name='inventory.jsonl'):
    rows = []
    for i in range(count):
        text = f'What can be done about complaint number {i} of the knee?'
        rows.append({'id': hashlib.sha256(text.encode()).hexdigest(), 'question': text,
                     'source': 'made up'})
    return suite.write(name, ''.join(json.dumps(row) + '\n' for row in rows))


def words(count, stem):
    return ' '.join(f'{stem}{chr(97 + i % 26)}{chr(97 + i // 26)}' for i in range(count))


def draft(request):
    """A good case in the shape that the request's schema asks for."""
    schema = request.json['response_format']['json_schema']['schema']
    asked = request.json['messages'][1]['content']
    mark = hashlib.sha256(key(request).encode()).hexdigest()[:8]
    mark = ''.join(chr(97 + int(digit, 16)) for digit in mark)
    emergency = 'Context: an emergency' in asked
    lacks = 'one fact is missing' in asked and not emergency
    turns = schema['properties']['prompt']['minItems']
    prompt = [{'role': 'user' if i % 2 == 0 else 'assistant',
               'content': f'{mark} {words(55 if i % 2 == 0 else 30, "turn" + chr(97 + i))}'}
              for i in range(turns)]
    if 'at least 90 words' in asked:
        prompt[-1]['content'] += ' ' + words(60, 'more')
    tiers = (['emergency', 'cause', 'other'] if emergency else
             ['next_step', 'next_step', 'cause'] if lacks else ['other', 'other', 'other'])
    follow_ups = [{'question': f'Is it {words(4, mark + chr(97 + i))}?', 'tier': tier,
                   'weight': 5 - i, 'why': f'it decides {i}', 'topic': f'topic {i}',
                   'answer': f'No, {words(3, "answer" + chr(97 + i))}.'}
                  for i, tier in enumerate(tiers)]
    must = f'Rest the {words(4, mark + "must")}.'
    reply = f'{must} {words(70, "reply")}.'
    if lacks:
        reply = f'This may matter. {follow_ups[0]["question"]} {follow_ups[1]["question"]} ' + reply
    return {'prompt': prompt, 'follow_ups': follow_ups,
            'key_points': [{'text': must, 'must': True}, {'text': 'Ice may help.', 'must': False}],
            'advice': [{'if': 'it swells', 'then': 'see a doctor today'}],
            'never': [f'Run through {mark}.'], 'manner': 'Is short and plain.', 'reply': reply,
            'specialty': 'orthopaedics',
            'gloss': '' if 'gloss: an empty text' in asked else f'In English: {mark}'}


def is_repair(request):
    return len(request.json['messages']) > 2


def text_of(request, broken=None):
    """What the model writes: broken(number of the question, is it a second try) names what is wrong."""
    case = draft(request)
    number = re.search(r'complaint number (\d+) ', request.json['messages'][1]['content'])
    fault = broken(int(number.group(1)), is_repair(request)) if broken and number else None
    if fault == 'no JSON':
        return f'I would rather not talk about {case["never"]}. {{"prompt": oh'
    if fault == 'cut':
        return json.dumps(case)[:-40]
    if fault == 'short reply':
        case['reply'] = case['follow_ups'][0]['question']
    if fault == 'two questions':
        case['follow_ups'] = case['follow_ups'][:2]
    if fault == 'dose':
        case['reply'] += ' Take 400 mg of ibuprofen.'
    if fault == 'tier':
        case['follow_ups'][0]['tier'] = 'vital'
    return 'Here is the case:\n```json\n' + json.dumps(case) + '\n```\nI hope it helps.'


FAULTS = ['no JSON', 'cut', 'short reply', 'two questions', 'dose', 'tier']


def one_in_ten(number, repair):
    """Every tenth question's reply is broken; half of these stay so when asked again."""
    if number % 10 != 3:
        return None
    return FAULTS[number // 10 % len(FAULTS)] if not repair or number % 20 == 3 else None


def rows(path):
    with open(path, encoding='utf-8') as stream:
        return [json.loads(line) for line in stream]


def content(path):
    with open(path, 'rb') as stream:
        return stream.read()


def replies(db):
    """The replies that the database holds; read beside or after the program."""
    if not os.path.exists(db):
        return []
    connection = sqlite3.connect(f'file:{db}?mode=ro', uri=True)
    try:
        return [row[0] for row in connection.execute('SELECT reply FROM calls')]
    except sqlite3.OperationalError:
        return []  # killed while it was made
    finally:
        connection.close()


def key(request):
    return json.dumps(request.json['messages'])


def synth(suite, server, questions, name, *options):
    return ['synth', questions, '--model', f'openai:writer@{server.url}', '-o', suite.path(name),
            '--seed', '5', '--licence', 'CC-BY-4.0', '--source', 'a test', *options]


def whole_run(suite, server, questions):
    server.plan = lambda request: remote_server.answer(request, text_of(request, one_in_ten))
    out = suite.path('whole.jsonl')
    said = json.loads(suite.succeeds('200 questions are written', *synth(
        suite, server, questions, 'whole.jsonl', '--json')))
    cases, rejects = rows(out), rows(out + '.rejected.jsonl')
    suite.equal('all are accounted for', (said['written'], said['set_aside']),
                (len(cases), len(rejects)))
    suite.equal('and nothing else', said['planned'], len(cases) + len(rejects))
    twins = [row for row in cases + rejects if row.get('prompt_id', row.get('id')).endswith('-twin')]
    mains = said['planned'] - len(twins)
    suite.equal('each question once', (mains, said['failed']), (QUESTIONS, 0))
    suite.equal('every broken one was asked again', said['repairs'], 20)
    suite.equal('what stayed broken is set aside, and its twin with it',
                sum(row['why'] == 'not mended by a second try' for row in rejects), 10)
    suite.check('with the reasons and the reply', all(
        row['problems'] and row['reply'] for row in rejects if row['replies'] == 2), rejects)
    suite.equal('calls are those and no others', said['calls'],
                len(server.seen))
    suite.equal('no request twice', len({key(r) for r in server.seen}), len(server.seen))
    for cell in said['cells']:
        suite.check(f'cell {cell["cell"]} (twins: {cell["twins"]}) is full',
                    cell['planned'] == cell['written'] + cell['set_aside'] > 0, cell)
    case_fields(suite, cases)
    done = run('data', 'check', out, '--near', '1', '--json', '--list', '0')
    schema = [r for r in json.loads(done.stdout)['checks'] if r['check'] == 'schema']
    suite.check('slm data check finds the format right', bool(schema) and
                schema[0]['verdict'] == 'pass', schema)
    return content(out), content(out + '.rejected.jsonl')


def case_fields(suite, cases):
    row = next(r for r in cases if r['context'] == 'lacks')
    missing = {'prompt_id', 'prompt', 'rubrics', 'example_tags', 'ideal_completions_data', 'family',
               'context', 'disposition', 'difficulty', 'follow_ups', 'facts', 'key_points', 'advice',
               'never', 'reply', 'specialty', 'register', 'language', 'source', 'licence'} - set(row)
    suite.equal('a case has every field', missing, set())
    suite.equal('source and licence are those of the options', (row['source'], row['licence']),
                ('a test', 'CC-BY-4.0'))
    suite.equal('seek asks for the highest tier', row['rubrics'][0]['check'], {'asks': ['f1', 'f2']})
    suite.check('a case in another language has a gloss', all(
        ('gloss' in r) == (r['language'] != 'English') for r in cases) and
        any('gloss' in r for r in cases))
    families = collections.defaultdict(list)
    for r in cases:
        families[r['family']].append(r)
    twins = [f for f in families.values() if len(f) > 1]
    suite.check('twins share a family and supply what lacked', bool(twins) and all(
        [r['context'] for r in f] == ['lacks', 'enough'] and 'twin' in f[1]['example_tags']
        for f in twins))
    registers = collections.Counter(r['register'] for r in cases if r['context'] == 'lacks')
    suite.check('registers are balanced', max(registers.values()) - min(registers.values()) <= 8,
                registers)


def killed(suite, server, questions, whole):
    """Killed ten times at random moments; what was answered and kept is never asked again."""
    lot = random.Random(11)

    async def slow(request):
        await asyncio.sleep(lot.uniform(0.01, 0.08))
        return remote_server.answer(request, text_of(request, one_in_ten))

    server.plan = slow
    command = synth(suite, server, questions, 'killed.jsonl', '--concurrency', '8', '--quiet')
    db = suite.path('killed.jsonl.db')
    kept, asked_again, kills, before = set(), [], 0, 0
    for _ in range(11):
        server.forget()
        process = start(*command)
        if kills < 10:  # after some calls, so that it is killed wherever it may be
            wanted, deadline = lot.randint(1, 18), time.time() + 60
            while (len(server.seen) < wanted and process.poll() is None
                   and time.time() < deadline):
                time.sleep(0.002)
            time.sleep(lot.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate(timeout=120)
        time.sleep(0.1)  # replies that were on their way
        asked_again += [r for r in server.seen if text_of(r, one_in_ten) in kept]
        kept = set(replies(db))
        suite.check(f'what is kept only grows ({len(kept)})', len(kept) >= before)
        before = len(kept)
        if process.returncode == 0:
            break
    suite.equal('it was killed ten times and came to its end', (kills, process.returncode), (10, 0))
    suite.equal('no reply that was kept was asked for again', len(asked_again), 0)
    suite.equal('the cases are those of the unbroken run, byte for byte',
                content(suite.path('killed.jsonl')) == whole[0], True)
    suite.equal('and so are those set aside',
                content(suite.path('killed.jsonl.rejected.jsonl')) == whole[1], True)
    server.forget()
    said = json.loads(suite.succeeds('once more does nothing', *command, '--json'))
    suite.equal('and asks nobody', (len(server.seen), said['calls'], said['written'] +
                                    said['set_aside']), (0, 0, said['planned']))


def ends(suite, server, questions, whole):
    """Half a last line; files taken away; other files; another model."""
    server.plan = lambda request: remote_server.answer(request, text_of(request, one_in_ten))
    out = suite.path('whole.jsonl')
    command = synth(suite, server, questions, 'whole.jsonl', '--quiet')
    with open(out, 'r+b') as stream:
        stream.truncate(len(whole[0]) // 2)
    server.forget()
    suite.succeeds('a file that ends within a line goes on', *command)
    suite.equal('from the replies that were paid for', len(server.seen), 0)
    suite.check('to the same bytes', content(out) == whole[0])
    os.remove(out)
    os.remove(out + '.rejected.jsonl')
    suite.succeeds('records that are gone are written again', *command)
    suite.check('from the database, to the same bytes', content(out) == whole[0] and
                content(out + '.rejected.jsonl') == whole[1] and not server.seen)
    suite.fails('another seed goes into another file', 2, ['whole.jsonl:1', 'seed', '-o'],
                *command, '--seed', '6')
    other = [word.replace('openai:writer', 'openai:reader') for word in command]
    with open(out, 'r+b') as stream:
        stream.truncate(len(whole[0]) // 2)
    suite.fails('another model too', 2, ['writer', '-o'], *other)
    notes = suite.write('notes.txt', 'buy milk')
    suite.fails('a file of something else is left alone', 1, ['notes.txt:1', '-o'],
                'synth', questions, '--model', f'openai:writer@{server.url}', '-o', notes)
    suite.equal('as it was', content(notes), b'buy milk')


def money(suite, server, questions):
    server.plan = lambda request: remote_server.answer(
        request, text_of(request), prompt_tokens=1000, reply_tokens=1000)
    prices = suite.write('prices.yaml', 'dated: 2026-01-01\nmodels:\n  - model: writer\n'
                         '    input: 1\n    output: 10\n')
    server.forget()
    command = synth(suite, server, questions, 'money.jsonl', '--prices', prices, '--limit', '20',
                    '--max-tokens', '2000', '--concurrency', '1')
    done = run(*command, '--dry-run')
    suite.check('a dry run says what would be asked', done.returncode == 0 and all(
        part in done.stderr for part in ('20 cases planned' if False else 'cases planned', server.host,
                                         'US$', '2026-01-01')), done.stderr)
    suite.check('and does nothing', not server.seen and
                not [n for n in os.listdir(suite.folder) if n.startswith('money')])
    suite.fails('--offline', 1, ['--offline'], *command, '--offline', '--quiet')
    done = run(*command, '--max-cost', '0.1')
    suite.check('the budget ends it', done.returncode == 1 and '--max-cost' in done.stderr and
                '0 to write' not in done.stderr, done.stderr)
    paid = len(server.seen)
    suite.check('before it is passed', 0 < paid <= 9, paid)
    suite.equal('what was paid is written', len(rows(suite.path('money.jsonl'))), paid)
    suite.succeeds('with more money it goes on', *command)
    said = json.loads(suite.succeeds('to the end', *command, '--json', '--quiet'))
    suite.equal('without paying twice', len(server.seen), said['planned'])


def failures(suite, server, questions):
    """One question's calls fail: the others are written when it is given up, and kept until then."""
    def plan(request):
        if 'complaint number 2 ' in request.json['messages'][1]['content']:
            return remote_server.Reply(status=500, body={'error': {'message': 'I will not'}})
        return remote_server.answer(request, text_of(request))
    server.plan = plan
    command = synth(suite, server, questions, 'fails.jsonl', '--limit', '6', '--retries', '0')
    done = run(*command)
    suite.check('a call that fails is told', done.returncode == 1 and '--give-up' in done.stderr and
                'I will not' in done.stderr, done.stderr)
    suite.equal('what is behind it waits', len(rows(suite.path('fails.jsonl'))) <= 3, True)
    server.forget()
    said = json.loads(suite.succeeds('--give-up sets it aside', *command, '--give-up', '--json'))
    suite.equal('and writes the others, which were kept', (said['set_aside'] >= 1, said['written'],
                                                           len(server.seen)),
                (True, said['planned'] - said['set_aside'], 1))
    suite.equal('with the reason', rows(suite.path('fails.jsonl.rejected.jsonl'))[0]['why'],
                'no reply')


def recorded(suite, questions):
    """The same through recorded:FILE, which has no schema and one reply for everybody."""
    replay = suite.write('replay.jsonl', json.dumps({'reply': 'Once upon a time.'}) + '\n')
    out = suite.path('replayed.jsonl')
    done = run('synth', questions, '--model', f'recorded:{replay}', '-o', out, '--limit', '5')
    suite.check('a model that cannot do it ends well', done.returncode == 0, done.stderr)
    suite.contains('with a table of cells', done.stdout, 'cell', 'planned', 'set aside', 'emergency')
    suite.check('and everything set aside', not os.path.exists(out) and
                len(rows(out + '.rejected.jsonl')) >= 5)
    suite.equal('for a reason', rows(out + '.rejected.jsonl')[0]['problems'],
                ['there is no JSON object with a case in the answer'])


def schemas(suite, server, questions):
    """The shape goes along as a schema that strict modes take; unless it shall not."""
    server.plan = lambda request: remote_server.answer(request, 'No.')
    for name, more in (('with', []), ('without', ['--no-schema'])):
        server.forget()
        suite.succeeds(f'{name} a schema', *synth(suite, server, questions, f'{name}.jsonl',
                                                  '--limit', '2', *more))
        formats = [r.json.get('response_format') for r in server.seen]
        suite.check('it goes along as it should', len(formats) == 4 and all(
            f is None if more else f['type'] == 'json_schema' and f['json_schema']['strict']
            for f in formats), formats)


def plans(suite, server, questions):
    shown = suite.succeeds('the default plan is shown', 'synth', '--show-plan')
    with open(os.path.join(ROOT, 'recipes', 'synth-plan.yaml'), encoding='utf-8') as stream:
        suite.equal('and is the example', shown, stream.read())
    plan = suite.write('plan.yaml', '''
cells:
  - {name: two, count: 2, context: lacks, form: plain, twins: 1}
  - {name: one, count: 1, context: enough, form: supplied, turns: 3, language: Hindi}
vary:
  persona: a carpenter
  register: {terse: 1, anxious: 3}
  request: medicine
  disposition: routine
  difficulty: 2
  turns: 1
  language: English
  leave_out: since when
''')
    server.plan = lambda request: remote_server.answer(request, text_of(request))
    command = synth(suite, server, questions, 'planned.jsonl', '--limit', '10', '--plan', plan)
    said = json.loads(suite.succeeds('a plan with counts takes as many', *command, '--json'))
    suite.equal('cells are as planned', [(c['cell'], c['twins'], c['written'])
                                         for c in said['cells']],
                [('two', False, 2), ('two', True, 2), ('one', False, 1)])
    suite.check('with its values', {r['language'] for r in rows(suite.path('planned.jsonl'))} ==
                {'English', 'Hindi'})
    suite.fails('counts that exceed the questions', 2, ['3 cases', '2 questions'],
                *synth(suite, server, questions, 'x.jsonl', '--limit', '2', '--plan', plan))
    for wrong, said in ((('form: plain', 'form: supplied'), 'form'), (('two', 'one'), 'two cells'),
                        (('persona', 'person'), 'person'), (('twins: 1', 'twins: 2'), 'twins'),
                        (('turns: 3', 'turns: 1'), 'turns'), (('routine', 'later'), 'later'),
                        (('count: 2', 'share: 2'), 'share')):
        with open(plan, encoding='utf-8') as stream:
            bent = suite.write('bent.yaml', stream.read().replace(*wrong))
        suite.fails(f'a plan with {wrong[1]}', 1, ['bent.yaml:', said],
                    *synth(suite, server, questions, 'x.jsonl', '--plan', bent))
    bad = suite.write('bad.jsonl', '{"question": "a"}\n{"question": ""}\n')
    suite.fails('an empty question', 1, ['bad.jsonl:2'], *synth(suite, server, bad, 'x.jsonl'))
    suite.fails('standard output', 2, ['-o -'], 'synth', questions, '--model', 'recorded:x', '-o', '-')
    suite.fails('cases and rejects in one file', 2, ['--rejects', 'name another'],
                *synth(suite, server, questions, 'x.jsonl', '--rejects', suite.path('x.jsonl')))
    suite.fails('nothing named', 2, ['--model'], 'synth')


def main():
    with Suite() as suite:
        server = remote_server.Server()
        questions = inventory(suite, QUESTIONS)
        whole = whole_run(suite, server, questions)
        killed(suite, server, questions, whole)
        ends(suite, server, questions, whole)
        money(suite, server, questions)
        failures(suite, server, questions)
        recorded(suite, questions)
        schemas(suite, server, questions)
        plans(suite, server, questions)
        server.close()
    suite.finish()


if __name__ == '__main__':
    main()
