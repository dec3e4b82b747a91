#!/usr/bin/env python3
"""The rule judge with an encoder beside its words, and the matcher measured on labelled pairs. The
encoder is a recording: vectors of four numbers for the few texts that are asked for."""
import json

from harness import Suite, run


def json_lines(rows):
    return ''.join(json.dumps(row) + '\n' for row in rows)


PAIRS = [
    {'id': 'p1', 'kind': 'question', 'target': 'Is she passing wind?', 'text': 'Can she fart?',
     'label': True, 'note': 'paraphrase', 'readers': [True, True], 'half': 'held'},
    {'id': 'p2', 'kind': 'question', 'target': 'Is the left knee swollen?',
     'text': 'Is the right knee swollen?', 'label': False, 'note': 'side',
     'readers': [False, True], 'half': 'held'},
    {'id': 'p3', 'kind': 'statement', 'target': 'Stop the tablets.', 'text': 'Stop the tablets.',
     'label': True, 'note': 'other', 'half': 'fit'},
]
CASE = {'prompt_id': 'c1', 'prompt': [{'role': 'user', 'content': 'My belly hurts.'}],
        'follow_ups': [{'id': 'f1', 'tier': 'next_step', 'weight': 3,
                        'question': 'Is there a fever?'}],
        'rubrics': [{'criterion': 'Asks about fever.', 'points': 5, 'tags': ['behaviour:seek'],
                     'check': {'asks': ['f1']}}]}


def measuring_pairs(suite):
    pairs = suite.write('pairs.jsonl', json_lines(PAIRS))
    # One direction for every text: to this encoder everything is the same.
    texts = {row[key] for row in PAIRS for key in ('target', 'text')}
    encoder = suite.write('encoder.jsonl', json_lines(
        {'text': text, 'model': 'tiny', 'vector': [1, 0, 0, 0]} for text in sorted(texts)))
    out = suite.succeeds('pairs are measured', 'judge', 'pairs', pairs, '--wrong')
    suite.contains('by kind and by note, on the held half', out, 'held half: 2 pairs', 'question',
                   'paraphrase', 'side', 'of one mind on 1')
    suite.contains('what is told wrong is listed', out, 'p1 (paraphrase) missed')
    got = json.loads(suite.succeeds('as JSON, both halves, two matchers', 'judge', 'pairs', pairs,
                                    '--half', 'all', '--json', '--judge', 'rule', '--judge',
                                    f'rule+recorded:{encoder}'))
    words, vectors = got['matchers']
    suite.equal('three pairs', words['kinds']['all']['pairs'], 3)
    suite.check('each matcher has a hash of its own', words['matcher_hash'] != vectors['matcher_hash'])
    suite.equal('equal vectors do not silence the guard of sides', vectors['notes']['side'][
        'specificity']['value'], 1.0)
    suite.equal('equal texts are the same', vectors['kinds']['statement']['sensitivity']['value'], 1.0)
    suite.fails('a text that was not recorded', 1, ['encoder.jsonl', 'no vector'], 'judge', 'pairs',
                suite.write('more.jsonl', json_lines([dict(PAIRS[0], text='Does she burp?')])),
                '--judge', f'rule+recorded:{encoder}')
    suite.fails('a wrong row', 1, ['wrong.jsonl:1', 'label'], 'judge', 'pairs', suite.write(
        'wrong.jsonl', json_lines([dict(PAIRS[0], label='yes')])))
    suite.fails('a model is no matcher', 2, ['rule+ENCODER'], 'judge', 'pairs', pairs, '--judge',
                'gpt-4')
    suite.fails('an encoder far away', 2, ['on this machine'], 'judge', 'pairs', pairs, '--judge',
                'rule+openai:text-embedding-3-small')


def judging(suite):
    cases = suite.write('cases.jsonl', json_lines([CASE]))
    model = suite.write('model.jsonl', json_lines([{'reply': 'Do you feel feverish?'}]))
    encoder = suite.write('two.jsonl', json_lines([
        {'text': 'Is there a fever?', 'model': 'tiny', 'vector': [1, 0, 0, 0]},
        {'text': 'Do you feel feverish?', 'model': 'tiny', 'vector': [1, 0, 0, 0]}]))
    db = suite.path('results.db')
    done = run('eval', f'recorded:{model}', '--cases', cases, '--db', db, '--judge', 'rule',
               '--json')
    suite.check('the words grade', done.returncode == 0, done.stderr)
    done = run('eval', f'recorded:{model}', '--cases', cases, '--db', db, '--judge',
               f'rule+recorded:{encoder}', '--json')
    suite.check('with an encoder it is another judge', done.returncode == 0, done.stderr)
    suite.contains('and reports name it', done.stdout, 'rule+two.jsonl')


def labels(suite):
    cases = suite.write('cases.jsonl', json_lines([CASE]))
    answers = suite.write('answers.jsonl', json_lines(
        [{'case': 'c1', 'reply': 'Do you have a fever?', 'seek': True, 'half': 'held',
          'readers': [{'seek': True}, {'seek': True}]},
         {'case': CASE, 'reply': 'Rest, and drink water.', 'seek': False, 'half': 'held',
          'readers': [{'seek': False}, {'seek': True}]},
         {'case': 'c1', 'reply': 'Hello.', 'seek': False, 'half': 'fit'}]))
    base = ['judge', 'rule', '--labels', answers, '--cases', cases, '--db', suite.path('labels.db')]
    out = suite.succeeds('answers labelled by behaviour', *base)
    suite.contains('kappa, sensitivity and specificity by behaviour', out, 'held half', 'By behaviour',
                   'seek', 'sensitivity', 'labeller with label')
    got = json.loads(suite.succeeds('all of them', *base, '--half', 'all', '--json'))
    figures = got['judges'][0]['tags']['behaviour:seek']
    suite.equal('the figures', [figures['criteria'], figures['sensitivity']['value'],
                                figures['specificity']['value']], [3, 1.0, 1.0])
    suite.fails('an id that no case has', 1, ['answers.jsonl:1: case', '--cases'], 'judge', 'rule',
                '--labels', answers, '--db', suite.path('labels.db'))


with Suite() as suite:
    measuring_pairs(suite)
    judging(suite)
    labels(suite)
suite.finish()
