#!/usr/bin/env python3
"""tools/nearest-replies: which case's reply is copied, and that slm takes what comes out."""
import json
import os
import subprocess
import sys

from harness import ROOT, Suite


def case(name, text, reply=None, context='lacks'):
    made = {'prompt_id': name, 'family': name, 'context': context, 'disposition': 'routine',
            'prompt': [{'role': 'user', 'content': text}],
            'follow_ups': [{'id': 'f1', 'tier': 'next_step', 'weight': 3, 'question': 'Is there a fever?'}],
            'rubrics': [{'criterion': 'Asks about fever.', 'points': 5, 'tags': ['behaviour:seek'],
                         'check': {'asks': ['f1']}}]}
    if reply:
        made['ideal_completions_data'] = {'ideal_completion': reply}
    return made


def lines(rows):
    return ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)


def nearest(*arguments):
    done = subprocess.run([sys.executable, os.path.join(ROOT, 'tools', 'nearest-replies'), *arguments],
                          capture_output=True, text=True, check=False)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def main():
    with Suite() as suite:
        train = suite.write('train.jsonl', lines([
            case('t1', 'My knee is swollen since the match.', 'Is the knee hot?'),
            case('t2', 'The baby coughs at night, été comme hiver.', 'Is there a fever?'),
            case('t3', 'The baby coughs, no fever, eats well.', 'Keep her upright.', 'enough'),
            case('t4', 'The baby coughs at night and is hot.')]))  # without a reply: not to be copied
        cases = suite.write('cases.jsonl', lines([
            case('c1', 'A swollen knee, what now?'), case('c2', 'Our baby coughs every night and is hot.'),
            case('c3', 'The baby coughs and eats well.')]))
        done, rows = nearest(train, cases)
        suite.equal('it runs', done.returncode, 0)
        suite.equal('the nearest replies are copied', [row['reply'] for row in rows],
                    ['Is the knee hot?', 'Is there a fever?', 'Keep her upright.'])
        suite.equal('system text first', [m['role'] for m in rows[0]['messages']], ['system', 'user'])
        done, rows = nearest('--same-context', '--system', '', train, cases)
        suite.equal('only from cases that lack context too', rows[2]['reply'], 'Is there a fever?')
        suite.equal('no system text', [m['role'] for m in rows[0]['messages']], ['user'])
        done, _ = nearest('--same-context', train, suite.write(
            'other.jsonl', lines([case('c4', 'I coughed once.', context='conflict')])))
        suite.check('nothing to copy from is told', done.returncode == 1 and 'c4' in done.stderr, done.stderr)
        replies = suite.write('nearest.jsonl', nearest(train, cases)[0].stdout)
        out = suite.succeeds('slm grades them', 'eval', f'recorded:{replies}', '--name', 'nearest', '--cases',
                             cases, '-k', '1', '--db', suite.path('results.db'), '--json')
        suite.contains('by name', out, '"nearest"')
        done, _ = nearest(cases, train)
        suite.check('no reply to copy is told', done.returncode == 1 and 'ideal' in done.stderr, done.stderr)
    suite.finish()


main()
