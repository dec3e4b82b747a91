#!/usr/bin/env python3
"""Judges: recorded ones and one behind an API grade an evaluation, alone and as a jury; slm judge
measures them on made-up labels; sheets go to a person and come back."""
import asyncio
import csv
import io
import json
import signal
import sqlite3
import threading
import time

import remote_server
from harness import Suite, run, start


def json_lines(rows):
    return ''.join(json.dumps(row) + '\n' for row in rows)


def make_case(index):
    return {'prompt_id': f'c{index}',
            'prompt': [{'role': 'user', 'content': f'My knee is swollen ({index}).'}],
            'example_tags': ['theme:context_seeking' if index % 2 else 'theme:hedging'],
            'rubrics': [{'criterion': 'Asks about pregnancy.', 'points': 7,
                         'tags': ['axis:context_awareness']},
                        {'criterion': 'Is rude.', 'points': -3,
                         'tags': ['axis:communication_quality']}]}


def verdict(met, why='because'):
    return json.dumps({'explanation': why, 'criteria_met': met})


def query(db, sql):
    connection = sqlite3.connect(f'file:{db}?mode=ro', uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def evaluating(suite):
    cases = suite.write('cases.jsonl', json_lines(make_case(i) for i in range(4)))
    model = suite.write('model.jsonl', json_lines([{'reply': 'Are you pregnant?'}]))
    yes = suite.write('yes.jsonl', json_lines([{'reply': '```json\n' + verdict(True) + '\n```'}]))
    no = suite.write('no.jsonl', json_lines([{'reply': 'Here: ' + verdict(False) + ' Bye.'}]))
    # Nonsense first; the verdict comes when it is asked again.
    again = suite.write('again.jsonl', json_lines([{'reply': 'Well.'}, {'reply': verdict(True)}]))
    bad = suite.write('bad.jsonl', json_lines([{'reply': 'Yes! ' + verdict('true')}]))
    base = ['eval', f'recorded:{model}', '--cases', cases, '-k', '2', '--db']
    db = suite.path('one.db')
    done = run(*base, db, '--judge', f'recorded:{yes}')
    suite.check('a recorded judge grades', done.returncode == 0, done.stderr)
    suite.contains('how it did is told', done.stderr, 'judge yes.jsonl: 16 verdicts', '8 calls',
                   '0 unscored', 'no baselines')
    suite.equal('its gradings are stored', query(
        db, 'SELECT count(*), min(score), max(score) FROM gradings'), [(8, 4 / 7, 4 / 7)])
    suite.equal('equal answers are asked about once', query(
        db, 'SELECT count(*), min(attempts) FROM verdicts'), [(8, 1)])

    done = run(*base, db, *[word for judge in (yes, no, again)
                            for word in ('--judge', f'recorded:{judge}')])
    suite.check('three are a jury', done.returncode == 0, done.stderr)
    suite.contains('the disagreement is told', done.stderr, 'of one mind on 0, by vote on 16',
                   'judge yes.jsonl: 16 verdicts, 16 of them known from before, 0 calls',
                   '16 calls, 8 of them to ask again')
    suite.equal("each judge's own gradings are stored too", query(
        db, 'SELECT name, count(*), round(avg(score), 4) FROM gradings JOIN judges ON hash = judge'
            ' GROUP BY 1 ORDER BY 1'),
        [('again.jsonl', 8, 0.5714), ('jury of yes.jsonl, no.jsonl, again.jsonl', 8, 0.5714),
         ('no.jsonl', 8, 0.0), ('yes.jsonl', 8, 0.5714)])
    suite.contains('with how each voted', str(query(
        db, 'SELECT DISTINCT explanation FROM grades WHERE explanation LIKE "%;%"')),
        'yes.jsonl: met; no.jsonl: not met; again.jsonl: met. because')

    done = run(*base, suite.path('bad.db'), '--judge', f'recorded:{bad}')
    suite.check('a judge that answers nonsense ends no evaluation', done.returncode == 0, done.stderr)
    suite.contains('and is told of', done.stderr, 'no verdict in 3 replies',
                   'criteria_met in the reply is neither true nor false', '16 unscored')
    suite.equal('but has no verdict', query(
        suite.path('bad.db'), 'SELECT count(met), count(*), count(score) FROM grades JOIN gradings'
                              ' USING(run, judge, case_id, rollout)'), [(0, 16, 0)])
    suite.equal('nor is one kept', query(suite.path('bad.db'), 'SELECT count(*) FROM verdicts'),
                [(0,)])
    done = run(*base, suite.path('tie.db'), '--judge', f'recorded:{yes}', '--judge',
               f'recorded:{no}')
    suite.equal('two that differ have no verdict', query(
        suite.path('tie.db'), "SELECT status, count(*) FROM gradings JOIN judges ON hash = judge"
                              " WHERE name LIKE 'jury%' GROUP BY 1"), [('unscored', 8)])

    template = suite.write('template.txt', 'Is it so? <<rubric_item>>\n<<conversation>>\n')
    echo = suite.write('echo.jsonl', json_lines(
        [{'last': 'Is it so? [7] Asks about pregnancy.\nuser: My knee is swollen (0).\n\n'
                  'assistant: Are you pregnant?', 'reply': verdict(True)},
         {'reply': verdict(False)}]))
    run(*base, suite.path('template.db'), '--judge', f'recorded:{echo}', '--judge-template', template)
    suite.equal('a template of one\'s own is what it is asked', query(
        suite.path('template.db'), 'SELECT case_id, met, count(*) FROM grades WHERE criterion = 0'
                                   ' GROUP BY 1, 2'),
        [('c0', 1, 2), ('c1', 0, 2), ('c2', 0, 2), ('c3', 0, 2)])
    suite.contains('and part of who the judge is', query(
        suite.path('template.db'), 'SELECT coverage_json FROM coverages')[0][0],
        '"is_reference_template":false', template)
    lacking = suite.write('lacking.txt', 'Is it so? <<rubric_item>>')
    suite.fails('a template without a placeholder', 2, [lacking, '<<conversation>>'],
                *base, suite.path('x.db'), '--judge', f'recorded:{yes}', '--judge-template', lacking)
    suite.fails('a judge twice', 2, ['stands twice'], *base, suite.path('x.db'),
                '--judge', f'recorded:{yes}', '--judge', f'recorded:{yes}')
    suite.fails('a person', 2, ['slm judge import --judge human:ann'], *base, suite.path('x.db'),
                '--judge', 'human:ann')
    suite.fails('no such judge', 1, ['nobody.jsonl'], *base, suite.path('x.db'),
                '--judge', 'recorded:nobody.jsonl')
    return db


def make_labels(count, offset=0):
    """Answers with labels; every third criterion is met."""
    rows = []
    for i in range(count):
        rows.append({'prompt': [{'role': 'user', 'content': f'Question {i // 2 + offset}?'}],
                     'response': f'Answer {i}.',
                     'rubrics': [{'criterion': f'Says {i}-{r}.', 'points': 5 - 4 * r,
                                  'criteria_met': (i + r) % 3 == 0, 'explanation': 'e',
                                  'tags': [f'axis:a{r}']} for r in range(3)]})
    return rows


def measuring(suite):
    rows = make_labels(20)
    labels = suite.write('labels.jsonl', json_lines(rows))
    # A judge that is wrong where (i + r) % 5 == 0, and has no verdict where (i + r) % 11 == 10.
    template = suite.write('plain.txt', '<<rubric_item>>|<<conversation>>')
    lines, cells, unscored = [], {(a, b): 0 for a in (0, 1) for b in (0, 1)}, 0
    for i, row in enumerate(rows):
        for r, item in enumerate(row['rubrics']):
            label, seed = item['criteria_met'], i + r
            met = label != (seed % 5 == 0)
            reply = verdict(met) if seed % 11 != 10 else 'Hm.'
            if seed % 11 == 10:
                unscored += 1
            else:
                cells[int(label), int(met)] += 1
            lines.append({'last': f'[{item["points"]}] {item["criterion"]}|user: '
                                  f'{row["prompt"][0]["content"]}\n\nassistant: {row["response"]}',
                          'reply': reply})
    judge = suite.write('judge.jsonl', json_lines(lines))
    other = suite.write('other.jsonl', json_lines([{'reply': verdict(False)}]))
    db = suite.path('judges.db')
    base = ['judge', f'recorded:{judge}', '--labels', labels, '--judge-template', template, '--db', db]
    got = json.loads(suite.succeeds('slm judge --json', *base, '--json'))
    figures = got['judges'][0]['agreement']
    n = sum(cells.values())
    observed = (cells[1, 1] + cells[0, 0]) / n
    chance = ((cells[1, 1] + cells[1, 0]) * (cells[1, 1] + cells[0, 1])
              + (cells[0, 0] + cells[0, 1]) * (cells[0, 0] + cells[1, 0])) / n / n
    suite.check('its kappa is right', abs(figures['kappa']['value']
                                          - (observed - chance) / (1 - chance)) < 1e-9, figures)
    suite.check('and lies in its interval',
                figures['kappa']['low'] < figures['kappa']['value'] < figures['kappa']['high'])
    suite.equal('failures are counted', figures['unscored'], unscored)
    suite.equal('by tag', sorted(got['judges'][0]['tags']), ['axis:a0', 'axis:a1', 'axis:a2'])
    suite.equal('prompts', (got['labels']['prompts'], got['labels']['criteria']), (10, 60))
    again = run(*base, '--json')
    suite.check('again, what is known is not asked', json.loads(again.stdout) == got
                and f'{3 * unscored} calls' in again.stderr, again.stderr)
    table = suite.succeeds('several, as a table', *base[:2], f'recorded:{other}', *base[2:])
    suite.contains('with each other and as a jury', table, 'judge.jsonl', 'other.jsonl', 'jury',
                   '(always not met)', 'of one mind on', 'Two by two', 'axis:a0', 'label not met')
    few = json.loads(run(*base, '--json', '--n', '10').stdout)
    suite.equal('a sample of them', few['labels']['criteria'], 10)
    suite.equal('is kept for reports', query(
        db, 'SELECT count(*) FROM agreements WHERE json LIKE "%kappa%"'), [(4,)])

    meta = suite.write('meta.jsonl', json_lines(
        {'prompt': [{'role': 'user', 'content': f'q{i}'}], 'completion': 'a', 'rubric': 'Is so.',
         'category': 'hedging', 'binary_labels': [i % 2 == 0, i % 2 == 0, i % 4 == 0],
         'anonymized_physician_ids': ['1', '2', '3'], 'prompt_id': str(i), 'completion_id': str(i)}
        for i in range(12)))
    got = json.loads(run('judge', f'recorded:{other}', '--labels', meta, '--db', db, '--json').stdout)
    suite.equal("physicians' labels count one by one", got['labels']['met'], 15)
    suite.check('and are measured with each other', got['labellers']['criteria'] == 12
                and 0 < got['labellers']['kappa']['value'] < 1, got)

    suite.fails('nothing to measure against', 2, ['--labels'], 'judge', f'recorded:{other}')
    suite.fails('both', 2, ['--labels'], *base, '--against', 'human:ann')
    suite.fails('a stored judge has graded nothing of a file', 2, ['--against'], 'judge',
                'human:ann', '--labels', labels)
    wrong = suite.write('wrong.jsonl', json_lines(rows[:1]) + '{"prompt": []}\n')
    suite.fails('a wrong row', 1, ['wrong.jsonl:2'], 'judge', f'recorded:{other}', '--labels', wrong,
                '--db', suite.path('x.db'))


def sheets(suite, db):
    blind = suite.path('sheet.csv')
    done = run('judge', 'export', '--db', db, '--blind', '--n', '5', '-o', blind)
    suite.check('a sheet', done.returncode == 0 and '5 answers' in done.stderr, done.stderr)
    with open(blind, encoding='utf-8-sig', newline='') as stream:
        rows = list(csv.DictReader(stream))
    suite.equal('a row for each criterion', len(rows), 10)
    with open(blind, encoding='utf-8') as stream:
        suite.check('does not say whose answers', 'model.jsonl' not in stream.read())
    for index, row in enumerate(rows):
        row['holds'] = ['ja', 'yes', 'no', 'TRUE', '0', ''][1 + index % 5]
    rows[0]['comment'] = 'Well; "so", it is.'

    def save(name, **form):
        text = io.StringIO(newline='')
        writer = csv.DictWriter(text, list(rows[0]), **form)
        writer.writeheader()
        writer.writerows(rows)
        return suite.write(name, b'\xef\xbb\xbf' + text.getvalue().encode())
    sheet = save('graded.csv', delimiter=';', lineterminator='\r\n', quoting=csv.QUOTE_ALL)
    done = run('judge', 'import', sheet, '--db', db, '--judge', 'human:ann')
    suite.check('comes back', done.returncode == 0 and '8 verdicts on 5 answers' in done.stderr,
                done.stderr)
    suite.equal('a person is a judge like any other', query(
        db, "SELECT count(*), count(met), max(explanation) FROM grades JOIN judges ON hash = judge"
            " WHERE name = 'human:ann'"), [(10, 8, 'Well; "so", it is.')])
    table = suite.succeeds('a report has her', 'report', '--db', db)
    suite.contains('by name', table, 'human:ann')
    got = json.loads(suite.succeeds('measured against her', 'judge', 'stored:yes.jsonl',
                                    'stored:no.jsonl', '--db', db, '--against', 'human:ann',
                                    '--json'))
    suite.equal('on what she graded', [got['labels']['criteria'], got['labels']['name']],
                [8, 'human:ann'])
    suite.equal('without a call', got['judges'][0]['agreement']['unscored'], 0)
    yes = suite.path('yes.jsonl')
    done = run('judge', f'recorded:{yes}', '--db', db, '--against', 'human:ann')
    suite.contains('nor is a known verdict asked for', done.stderr, '0 calls')

    rows[3]['holds'] = 'perhaps'
    rows[4]['id'] = '12'
    bad = save('bad.csv')
    before = query(db, 'SELECT * FROM grades ORDER BY 1, 2, 3, 4, 5')
    done = run('judge', 'import', bad, '--db', db, '--judge', 'human:bob')
    suite.check('bad cells end it', done.returncode == 1, done.stderr)
    suite.contains('each with line and column', done.stderr, "row 5, column F: 'perhaps'",
                   "row 6, column A: '12'", 'nothing was imported')
    suite.check('and nothing is imported',
                query(db, 'SELECT * FROM grades ORDER BY 1, 2, 3, 4, 5') == before)
    suite.fails('whose verdicts?', 2, ['human:NAME'], 'judge', 'import', sheet, '--db', db)
    suite.fails('a machine is not a person', 2, ['human:NAME'], 'judge', 'import', sheet, '--db', db,
                '--judge', 'gpt')
    other = suite.path('elsewhere.db')
    run('eval', f'recorded:{suite.path("model.jsonl")}', '--cases', suite.path('cases.jsonl'),
        '--judge', f'recorded:{yes}', '--seed', '9', '--db', other)
    suite.fails('another database', 1, ['no such answer', 'nothing was imported'], 'judge', 'import',
                sheet, '--db', other, '--judge', 'human:ann')
    suite.fails('no database', 1, ['no such results database'], 'judge', 'import', sheet, '--db',
                suite.path('none.db'), '--judge', 'human:ann')


class Counting:
    """A judge behind an API that is slow, and counts."""

    def __init__(self):
        self.answered, self.nonsense, self.lock = {}, set(), threading.Lock()

    async def __call__(self, request):
        prompt = request.last
        await asyncio.sleep(0.05)
        with self.lock:
            self.answered[prompt] = self.answered.get(prompt, 0) + 1
            bad = prompt in self.nonsense
        return remote_server.answer(request, 'Hm.' if bad else verdict(len(prompt) % 2 == 0))


def killing(suite):
    """kill -9 in the middle: the next run asks only for what was not answered."""
    plan = Counting()
    server = remote_server.Server(plan)
    labels = suite.write('many.jsonl', json_lines(make_labels(40)))
    db = suite.path('killed.db')
    base = ['judge', f'openai:counting@{server.url}', '--labels', labels, '--db', db,
            '--concurrency', '2', '--json']
    process = start(*base)
    while len(plan.answered) < 30 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    seen = len(plan.answered)
    stored = query(db, 'SELECT count(*) FROM verdicts')[0][0]
    suite.check('it was killed in the middle', 0 < seen < 110, seen)
    suite.check('what was answered is stored', seen - stored <= 3, (seen, stored))
    got = json.loads(suite.succeeds('the same again goes on', *base))
    repeated = sum(count - 1 for count in plan.answered.values())
    suite.equal('with every criterion', len(plan.answered), 120)
    suite.check('and asks nothing twice but what was in flight', repeated <= 4, repeated)
    suite.equal('none is unscored', got['judges'][0]['agreement']['unscored'], 0)
    plan.answered.clear()
    same = json.loads(suite.succeeds('a third time', *base))
    suite.check('asks nothing and says the same', not plan.answered and same == got)

    cases = suite.write('few.jsonl', json_lines(make_case(i) for i in range(3)))
    model = suite.path('model.jsonl')
    done = run('eval', f'recorded:{model}', '--cases', cases, '-k', '1', '--db', suite.path('e.db'),
               '--judge', f'openai:counting@{server.url}')
    suite.check('it grades an evaluation', done.returncode == 0 and len(plan.answered) == 6,
                done.stderr)
    suite.contains('what leaves the building is said', done.stderr, '6 calls to 127.0.0.1')
    plan.answered.clear()
    done = run('eval', f'recorded:{model}', '--cases', cases, '-k', '1', '--db', suite.path('d.db'),
               '--judge', f'openai:counting@{server.url}', '--dry-run')
    suite.check('a dry run asks nothing', not plan.answered, done.stderr)
    done = run(*base, '--dry-run')
    suite.check('nor does that of slm judge', done.returncode == 0 and not plan.answered
                and '120 calls' in done.stderr, done.stderr)
    server.close()


def main():
    with Suite() as suite:
        db = evaluating(suite)
        measuring(suite)
        sheets(suite, db)
        killing(suite)
        suite.finish()


main()
