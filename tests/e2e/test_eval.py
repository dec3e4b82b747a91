#!/usr/bin/env python3
"""eval, its import and export, and report: on a small model with random weights (is it the same
whatever happens to it?) and on recorded replies (is it right?)."""
import csv
import html.parser
import io
import json
import os
import random
import re
import signal
import subprocess
import time

import tiny_gguf
from harness import Suite, run, start

FOLLOW_UPS = [
    {'id': 'f1', 'question': 'Are you pregnant?', 'tier': 'next_step', 'weight': 5, 'why': 'Ibuprofen.'},
    {'id': 'f2', 'question': 'Do you take blood thinners?', 'tier': 'next_step', 'weight': 4,
     'why': 'Bleeding.'},
    {'id': 'f3', 'question': 'How long has your knee been swollen?', 'tier': 'cause', 'weight': 2,
     'why': 'Cause.'},
]
KEY_POINT = 'Rest the knee and put ice on it for two days.'
NEVER = 'Keep running on the swollen knee.'
ADVICE = {'id': 's1', 'if': 'the knee turns hot and red', 'then': 'see a doctor the same day'}
ASKS = 'Are you pregnant? Do you take blood thinners?'
ANSWERS = f'{KEY_POINT} If the knee turns hot and red, see a doctor the same day.'


def make_case(name, family, context, disposition='routine'):
    rubrics = []
    if disposition == 'emergency':
        rubrics.append({'criterion': 'Sends them to emergency care at once.', 'points': 8,
                        'tags': ['behaviour:act'], 'check': {'says': ['k1']}})
    elif context == 'lacks':
        rubrics.append({'criterion': 'Asks about pregnancy or blood thinners.', 'points': 7,
                        'tags': ['behaviour:seek'], 'check': {'asks': ['f1', 'f2']}})
    else:
        rubrics.append({'criterion': 'Says what to do without asking.', 'points': 7,
                        'tags': ['behaviour:precise'],
                        'check': {'says': ['k1'], 'avoids': ['n1']}})
    rubrics.append({'criterion': 'Gives one condition to look out for.', 'points': 3,
                    'tags': ['behaviour:safe'], 'check': {'says': ['s1', 'k1'], 'avoids': ['n1']}})
    rubrics.append({'criterion': 'Is kind.', 'points': 2, 'tags': ['axis:communication_quality']})
    emergency = 'Call an ambulance now.'
    return {
        'prompt_id': name, 'family': family, 'context': context, 'disposition': disposition,
        'prompt': [{'role': 'user', 'content': f'My knee is swollen after running ({name}).'}],
        'rubrics': rubrics, 'example_tags': ['made-up'], 'follow_ups': FOLLOW_UPS,
        'key_points': [{'id': 'k1', 'must': True,
                        'text': emergency if disposition == 'emergency' else KEY_POINT}],
        'advice': [ADVICE], 'never': [{'id': 'n1', 'text': NEVER}],
        'ideal_completions_data': {'ideal_completion': ANSWERS},
    }


CASES = [make_case('c1', 'twin', 'lacks'), make_case('c2', 'twin', 'enough'),
         make_case('c3', 'other', 'lacks'), make_case('c4', 'third', 'enough'),
         make_case('c5', 'fourth', 'lacks'), make_case('c6', 'fifth', 'enough', 'emergency')]


def json_lines(rows):
    return ''.join(json.dumps(row) + '\n' for row in rows)


def export(db):
    done = run('eval', 'export', '--db', db)
    return done.stdout if done.returncode == 0 else f'export failed: {done.stderr}'


def rows_of(text, table):
    return [row for row in map(json.loads, text.splitlines()) if row['table'] == table]


def sameness(suite, model, cases):
    """Whatever the machine, the batch, the order or the interruptions: the same content."""
    base = ['eval', model, '--cases', cases, '-k', '2', '--max-tokens', '40', '--temperature', '1',
            '--seed', '7', '--quiet']
    db = suite.path('whole.db')
    table = suite.succeeds('slm eval', *base, '--db', db)
    suite.contains('it prints the table', table, 'tiny', 'floor', 'shuffled', 'echo', 'always-ask',
                   'never-ask')
    wanted = export(db)
    samples = [row for row in rows_of(wanted, 'samples')]
    suite.check('every case has its answers', len(samples) >= 2 * len(CASES), wanted[:2000])
    mode = os.stat(db).st_mode & 0o777
    suite.equal('the database is for its owner', oct(mode), oct(0o600))
    suite.succeeds('the same again', *base, '--db', db)
    suite.check('adds nothing', export(db) == wanted)
    for change in (['--threads', '1'], ['--threads', '2'], ['--batch', '1'], ['--batch', '5'],
                   ['--batch', '32'], ['--no-prefix-sharing'], ['--memory', '300K', '--ctx', '512']):
        other = suite.path('other.db')
        run(*base, '--db', other, *change)
        suite.check('the same with ' + ' '.join(change), export(other) == wanted, export(other)[:300])
        os.remove(other)
    other = suite.path('raised.db')
    run(*base, '--db', other, '-k', '1')
    run(*base, '--db', other)
    suite.check('k raised from 1 to 2 is k = 2', export(other) == wanted, export(other)[:300])
    run(*base, '--db', other, '--seed', '8')
    runs = {row['hash'] for row in rows_of(export(other), 'runs') if row['kind'] == 'model'}
    suite.equal('another seed is another run', len(runs), 2)
    suite.check('exporting to a file', run('eval', 'export', '--db', db, '-o',
                                           suite.path('out.jsonl')).returncode == 0
                and open(suite.path('out.jsonl'), encoding='utf-8').read() == wanted)
    return db


def killing(suite, model, cases):
    """kill -9 at moments spread over the run, then go on; SIGINT once too."""
    base = ['eval', model, '--cases', cases, '-k', '4', '--max-tokens', '300', '--temperature', '1',
            '--kernels', 'ref', '--threads', '1', '--quiet', '--db']
    whole = suite.path('long.db')
    begin = time.monotonic()
    run(*base, whole)
    took = time.monotonic() - begin
    wanted = export(whole)
    suite.check('a longer run', len(rows_of(wanted, 'samples')) >= 4 * len(CASES))
    rng = random.Random(3)
    broken = suite.path('broken.db')
    kills = 0
    for _ in range(8):
        process = start(*base, broken)
        try:
            process.wait(timeout=max(0.02, took * rng.uniform(0.05, 0.4)))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
    suite.check('it was killed at least once', kills > 0, f'a run takes {took} s')
    suite.succeeds('and goes on', *base, broken)
    suite.check('to the same content', export(broken) == wanted)

    stopped = suite.path('stopped.db')
    process = start(*base, stopped)
    time.sleep(took / 3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    suite.check('SIGINT stops it and says how to go on',
                process.returncode == 0 or (process.returncode == 1 and 'goes on' in stderr
                                            and stopped in stderr), (process.returncode, stderr))
    suite.succeeds('it goes on', *base, stopped)
    suite.check('to the same content', export(stopped) == wanted)


def figures(text):
    """{(model, measure, stratum, k): value} of `report --csv measures`."""
    return {(row['model'], row['measure'], row['stratum'], int(row['k'])):
            float(row['value']) if row['value'] else None
            for row in csv.DictReader(io.StringIO(text))}


def truth(suite, cases):
    """Recorded models whose grades are known."""
    asker = suite.write('asker.jsonl', json_lines([{'reply': ASKS}]))
    teller = suite.write('teller.jsonl', json_lines([{'reply': ANSWERS}]))
    rescuer = suite.write('rescuer.jsonl', json_lines([{'reply': 'Call an ambulance now.'}]))
    nasty = '<b>"&\'</b><script>alert(1)</script> \u202e東京'
    odd = suite.write('odd.jsonl', json_lines([{'reply': nasty}]))
    db = suite.path('recorded.db')
    models = ['recorded:' + path for path in (asker, teller, rescuer, odd)]
    names = ['asker', 'teller', 'rescuer', 'odd']
    done = run('eval', *models, '--cases', cases, '-k', '2', '--db', db,
               *[word for name in names for word in ('--name', name)])
    suite.equal('four recorded models', done.returncode, 0)
    suite.contains('it says where things are', done.stderr, db, 'report')
    suite.contains('it says what the judge covers', done.stderr, 'covers')
    measures = suite.succeeds('report --csv measures', 'report', '--db', db, '--csv', 'measures')
    got = figures(measures)
    find = lambda model, measure: [value for key, value in got.items()
                                   if key[0] == model and key[1] == measure and key[3] == 1]
    for model, measure, wanted in (('asker', 'seek', 1.0), ('teller', 'precise', 1.0),
                                   ('teller', 'safe', 1.0), ('rescuer', 'act', 1.0),
                                   ('asker', 'precise', 0.0), ('teller', 'seek', 0.0),
                                   ('odd', 'seek', 0.0), ('odd', 'safe', 0.0), ('odd', 'act', 0.0)):
        values = find(model, measure)
        suite.check(f'{model}: {measure} {wanted}', values and wanted in values,
                    [key for key in got if key[0] == model])
    floors = [key[:2] for key in got if key[0].startswith('floor') and key[3] == 1]
    suite.equal('each measure has a floor under its name', sorted(floors),
                [('floor', 'score'), *((f'floor {name}', name)
                                       for name in ('act', 'precise', 'safe', 'seek', 'twins'))])
    suite.check('no other fixed reply is above it', all(
        find(f'floor {name}', name)[0] >= find(other, name)[0]
        for name in ('act', 'precise', 'safe', 'seek', 'twins')
        for other in ('always-ask', 'never-ask')), got)
    suite.check('nothing is left beside the database',
                [name for name in os.listdir(os.path.dirname(db)) if name.startswith('recorded.db')]
                == ['recorded.db'], os.listdir(os.path.dirname(db)))
    scores = list(csv.DictReader(io.StringIO(
        suite.succeeds('report --csv scores', 'report', '--db', db, '--csv', 'scores'))))
    score = {(row['model'], row['case'], row['rollout']): row['score'] for row in scores}
    suite.equal('the score of a case: seek met, safe not',
                [float(score.get(('asker', 'c1', str(i)), 'nan')) for i in (0, 1)], [0.7, 0.7])
    worst = list(csv.DictReader(io.StringIO(
        suite.succeeds('report --csv worst-at-k', 'report', '--db', db, '--csv', 'worst-at-k'))))
    suite.equal('worst-at-k for k up to 2', {row['k'] for row in worst if row['model'] == 'asker'},
                {'1', '2'})
    tree = json.loads(suite.succeeds('report --json', 'report', '--db', db, '--json'))
    suite.check('it is an object', isinstance(tree, dict) and tree, tree)
    html_report(suite, db, nasty)
    colours(suite, db)
    tree = run('eval', models[0], '--cases', cases, '-k', '2', '--db', db, '--name', 'asker', '--json')
    suite.check('eval --json', tree.returncode == 0 and json.loads(tree.stdout), tree)
    arms = suite.path('arms.db')
    text = suite.write('system.txt', 'Ask first.\n')
    suite.succeeds('two models by two system texts', 'eval', *models[:2], '--cases', cases, '-k', '1',
                   '--db', arms, '--system', '@' + text, '--system', 'Be brief.')
    runs = [row for row in rows_of(export(arms), 'runs') if row['kind'] == 'model']
    suite.equal('are four arms', sorted(row['system_text'] for row in runs),
                ['Ask first.', 'Ask first.', 'Be brief.', 'Be brief.'])
    limited = suite.path('limited.db')
    suite.succeeds('--cases-limit', 'eval', models[0], '--cases', cases, '-k', '1', '--db', limited,
                   '--cases-limit', '3')
    asked = {row['case'] for row in rows_of(export(limited), 'gradings')
             if row['run'] in {r['hash'] for r in rows_of(export(limited), 'runs')
                               if r['kind'] == 'model'}}
    suite.equal('takes the first', asked, {'c1', 'c2', 'c3'})


class Page(html.parser.HTMLParser):
    """Are all elements closed in order? What is linked, what is said?"""
    VOID = {'meta', 'br', 'hr', 'img', 'link', 'input', 'col', 'wbr', 'path', 'line', 'rect',
            'circle', 'polyline', 'polygon', 'use', 'stop'}

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.tags, self.links, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ('src', 'href') and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append((tag, self.open[-3:], self.getpos()))
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.text.append(data)


def html_report(suite, db, nasty):
    path = suite.path('report.html')
    done = run('report', '--db', db, '-o', path)
    suite.check('report -o NAME.html', done.returncode == 0 and path in done.stderr
                and done.stdout == '', done)
    with open(path, encoding='utf-8') as stream:
        text = stream.read()
    page = Page()
    page.feed(text)
    suite.equal('its elements close', (page.problems, page.open), ([], []))
    suite.check('it has a figure, and one script of its own', 'svg' in page.tags
                and page.tags.count('script') == 1, set(page.tags))
    suite.equal('it links to nothing outside', [link for link in page.links
                                                if not link.startswith('#')], [])
    shown = nasty.replace('\u202e', '[U+202E]')  # what would turn the text around is spelt out
    suite.check('answers stand in it as text', shown in ''.join(page.text), text[-1500:])
    other = suite.path('other.html')
    table = run('report', '--db', db, '--html', other, '-o', '-')
    suite.check('--html and the table together', table.returncode == 0 and 'asker' in table.stdout
                and os.path.exists(other), table)
    with open(other, encoding='utf-8') as stream:
        suite.check('the same page', stream.read() == text)
    suite.fails('a folder that is not there', 1, ['nosuch'], 'report', '--db', db, '--html',
                suite.path('nosuch/report.html'))


def colours(suite, db):
    """On a terminal there is colour, unless NO_COLOR; never elsewhere."""
    def on_terminal(env):
        pid, master = os.forkpty()
        if pid == 0:
            os.environ.update(env)
            from harness import SLM
            os.execv(SLM, [SLM, 'report', '--db', db])
        shown = b''
        try:
            while True:
                piece = os.read(master, 65536)
                if not piece:
                    break
                shown += piece
        except OSError:
            pass
        os.close(master)
        return os.waitpid(pid, 0)[1], shown.decode('utf-8', 'replace')

    try:
        status, shown = on_terminal({'TERM': 'xterm'})
    except OSError as error:
        suite.skip('colours', f'no terminal can be made here: {error}')
        return
    suite.check('on a terminal', status == 0 and 'asker' in shown, (status, shown[-500:]))
    status, plain = on_terminal({'TERM': 'xterm', 'NO_COLOR': '1'})
    suite.check('NO_COLOR is honoured', status == 0 and '\x1b[' not in plain, plain[:500])
    suite.check('and changes nothing else', re.sub(r'\x1b\[[0-9;]*m', '', shown) == plain)
    suite.check('no colour in a pipe', '\x1b' not in run('report', '--db', db).stdout)


def importing(suite):
    scores = suite.write('scores.csv', 'model,case,rollout,score\n'
                         + ''.join(f'm1,a,{i},{s}\nm1,b,{i},{1 - s}\n'
                                   for i, s in enumerate((1, 0, 0.5, 0.25))))
    db = suite.path('imported.db')
    suite.succeeds('eval import', 'eval', 'import', scores, '--db', db)
    worst = {int(row['k']): float(row['worst_at_k']) for row in csv.DictReader(io.StringIO(
        run('report', '--db', db, '--csv', 'worst-at-k').stdout)) if row['model'] == 'm1'}
    # a: 1, .5, .25, 0: worst of 2 = (.5*1 + .25*2 + 0*3) / 6; b the mirrored: 1, .75, .5, 0
    wanted = {1: (1.75 / 4 + 2.25 / 4) / 2, 2: (1 / 6 + (0.75 + 1) / 6) / 2, 4: 0.0}
    suite.check('worst-at-k of imported scores',
                all(abs(worst.get(k, 9) - value) < 1e-12 for k, value in wanted.items()),
                (worst, wanted))
    before = export(db)
    run('eval', 'import', scores, '--db', db)
    suite.check('importing twice changes nothing', export(db) == before)
    bad = suite.write('bad.csv', 'model,case,rollout,score\nm1,a,0,high\n')
    suite.fails('a score that is no number', 1, [bad + ':2'], 'eval', 'import', bad, '--db', db)
    suite.fails('a file that is not there', 1, ['nosuch.csv'], 'eval', 'import',
                suite.path('nosuch.csv'), '--db', db)


def mistakes(suite, model, cases):
    recorded = 'recorded:' + suite.write('any.jsonl', json_lines([{'reply': ASKS}]))
    db = suite.path('mistakes.db')
    base = ['eval', recorded, '--db', db, '-k', '1', '--cases']
    suite.fails('no such cases', 1, ['nosuch.jsonl'], *base, suite.path('nosuch.jsonl'))
    bad = suite.write('bad.jsonl', json_lines(CASES[:1]) + '{"prompt_id": "x", \n')
    suite.fails('a line that is no JSON', 1, [bad + ':2'], *base, bad)
    bad = suite.write('bad.jsonl', json_lines([CASES[0], {**CASES[1], 'rubrics': 'none'}]))
    suite.fails('a field of the wrong type', 1, [bad + ':2', 'rubrics'], *base, bad)
    bad = suite.write('bad.jsonl', json_lines([CASES[0], CASES[0]]))
    suite.fails('a case twice', 1, [bad + ':2', 'c1'], *base, bad)
    suite.check('none of these made a database', not os.path.exists(db))
    plain = {'prompt_id': 'p', 'prompt': [{'role': 'user', 'content': 'Hello?'}],
             'rubrics': [{'criterion': 'Greets.', 'points': 1, 'tags': []}], 'example_tags': []}
    mixed = suite.write('mixed.jsonl', json_lines([*CASES, plain]))
    done = run(*base, mixed)
    suite.check('a case that the judge covers nothing of', done.returncode == 2
                and '--skip-uncovered' in done.stderr, done)
    suite.succeeds('--skip-uncovered leaves it out', *base, mixed, '--skip-uncovered')
    done = run('eval', recorded, suite.path('nosuch.gguf'), '--db', suite.path('none.db'), '--cases',
               cases)
    suite.check('a second model that is not there is told before the first runs',
                done.returncode == 1 and 'nosuch.gguf' in done.stderr
                and not os.path.exists(suite.path('none.db')), done)
    text = suite.write('text.db', 'This is no database, and long enough not to be an empty file.\n' * 9)
    suite.fails('a file that is no database', 1, [text], 'report', '--db', text)
    done = run('eval', recorded, '--cases', cases, '--db', text)
    suite.check('is left alone', done.returncode == 1 and text in done.stderr
                and open(text, encoding='utf-8').read().startswith('This is no'), done)
    suite.fails('no such database', 1, ['nosuch.db'], 'report', '--db', suite.path('nosuch.db'))
    suite.fails('no system text file', 1, ['nosuch.txt'], *base, cases, '--system',
                '@' + suite.path('nosuch.txt'))
    process = start('eval', model, '--cases', cases, '--db', suite.path('busy.db'), '-k', '8',
                    '--max-tokens', '2000', '--kernels', 'ref')
    time.sleep(1)
    if process.poll() is None:
        done = run('eval', recorded, '--cases', cases, '--db', suite.path('busy.db'))
        suite.check('one writer at a time', done.returncode == 1 and 'busy.db' in done.stderr, done)
        done = run('report', '--db', suite.path('busy.db'))
        suite.check('but a report may read', done.returncode in (0, 1)
                    and 'Traceback' not in done.stderr, done)
        process.kill()
    else:
        suite.skip('one writer at a time', 'the other was too fast')
    process.communicate()


def main():
    os.environ.pop('NO_COLOR', None)
    with Suite() as suite:
        model = suite.path('tiny.gguf')
        tiny_gguf.write(model, layers=2, context=4096)
        cases = suite.write('cases.jsonl', json_lines(CASES))
        sameness(suite, model, cases)
        killing(suite, model, cases)
        truth(suite, cases)
        importing(suite)
        mistakes(suite, model, cases)
        suite.finish()


if __name__ == '__main__':
    main()
