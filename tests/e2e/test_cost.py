#!/usr/bin/env python3
"""cost: the example prices and the tokens of answers that were really asked for give the seed's
published figures; a local model by its own times; what is missing is an error that names it."""
import json
import os

import tiny_gguf
from harness import ROOT, Suite, run
from remote_server import Reply, Server, answer

PRICES = os.path.join(ROOT, 'docs', 'prices-example.yaml')
REPLY_TOKENS = {'frontier-a': 1125, 'frontier-b': 1190, 'tuned-8b': 300}
CASE = {
    'prompt_id': 'c1', 'family': 'c1', 'context': 'lacks', 'disposition': 'routine',
    'prompt': [{'role': 'user', 'content': 'My knee is swollen.'}],
    'rubrics': [{'criterion': 'Asks about pregnancy.', 'points': 5, 'tags': ['behaviour:seek'],
                 'check': {'asks': ['f1']}}],
    'example_tags': [],
    'follow_ups': [{'id': 'f1', 'question': 'Are you pregnant?', 'tier': 'next_step', 'weight': 5,
                    'why': 'Ibuprofen.'}],
    'key_points': [{'id': 'k1', 'must': True, 'text': 'Rest the knee.'}],
    'advice': [{'id': 's1', 'if': 'it turns hot', 'then': 'see a doctor'}],
    'never': [{'id': 'n1', 'text': 'Keep running.'}],
    'ideal_completions_data': {'ideal_completion': 'Are you pregnant?'},
}


def serve(request):
    return Reply(body=answer(request, prompt_tokens=1000, cached_tokens=0, reasoning_tokens=0,
                             reply_tokens=REPLY_TOKENS[request.json['model']]).body)


def costs(suite, name, *arguments):
    text = suite.succeeds(name, 'cost', *arguments, '--json')
    return {arm['arm']: arm for arm in json.loads(text or '{"arms":[]}')['arms']}


def published(suite, cases):
    server, db = Server(serve), suite.path('published.db')
    try:
        models = [f'openai:{name}@{server.url}' for name in REPLY_TOKENS]
        suite.succeeds('three models answer', 'eval', *models, '--cases', cases, '-k', '2', '--db', db,
                       *(word for name in REPLY_TOKENS for word in ('--name', name)),
                       '--max-tokens', '2000', env={'NO_PROXY': '*'})
    finally:
        server.close()
    base = ['--db', db, '--prices', PRICES]
    share = [*base, '--machine', 'tuned-8b=rented-gpu', '--tokens-per-second', '1400']
    arms = costs(suite, 'with a share of a fast machine', *share)
    for name, wanted in (('tuned-8b', 300), ('frontier-a', 12500), ('frontier-b', 20900)):
        got = arms.get(name, {}).get('usd_a_month', 0)
        suite.check(f'{name}: {got:.0f} is within 5% of {wanted}', abs(got / wanted - 1) < 0.05)
    whole = costs(suite, 'with a whole small one', *base, '--machine', 'tuned-8b=small-gpu',
                  '--tokens-per-second', '250', '--whole-machines')['tuned-8b']
    suite.check('it is the same to 5%', abs(whole['usd_a_month'] / 300 - 1) < 0.05, whole)
    suite.equal('and one machine', whole['rented']['machines'], 1)
    half = costs(suite, 'in batch mode', *share, '--batch-mode', '--requests', '500000')
    suite.equal('the discount is taken off where there is one',
                [round(half[name]['usd_a_month']) for name in ('frontier-a', 'frontier-b')],
                [3125, 10425])
    text = suite.succeeds('the table', 'cost', *share)
    suite.contains('it holds the figures and every assumption', text, '12,500', '20,850', 'Assumed',
                   'US$1.25 per million prompt tokens', '1400 reply tokens a second, as given',
                   'utilisation 0.5', 'assumed for the example', 'no batch discount')
    suite.fails('a missing price names model and file', 1, ['tuned-8b', PRICES, '--machine'],
                'cost', *base)
    suite.fails('a missing machine too', 1, ['h900', PRICES], 'cost', *base, '--machine',
                'tuned-8b=h900')
    suite.fails('an arm that there is not', 1, ['nobody'], 'cost', *base, '--arm', 'nobody')
    suite.fails('no prices', 2, ['--prices', 'prices-example.yaml'], 'cost', '--db', db)
    suite.fails('a share above one', 2, ['--utilisation'], 'cost', *base, '--utilisation', '2')


def local(suite, cases):
    model, db = suite.path('tiny.gguf'), suite.path('local.db')
    tiny_gguf.write(model)
    suite.succeeds('a local model answers', 'eval', model, '--cases', cases, '-k', '2', '--db', db,
                   '--max-tokens', '20', '--name', 'tiny')
    suite.fails('which machine?', 2, ['tiny', '--machine'], 'cost', '--db', db, '--prices', PRICES)
    arm = costs(suite, 'on a machine', '--db', db, '--prices', PRICES, '--machine', 'small-gpu',
                '--utilisation', '1')['tiny']
    rented = arm['rented']
    suite.check('the speed is what was measured', rented['tokens_per_second_measured']
                and rented['tokens_per_second'] > 0, rented)
    hours = 1e6 * arm['reply_tokens'] / rented['tokens_per_second'] / 3600
    suite.check('the cost follows from it', abs(arm['usd_a_month'] / (hours * 0.41) - 1) < 1e-9, arm)
    done = run('cost', '--db', db, '--prices', PRICES, '--machine', 'small-gpu')
    suite.contains('that it was measured is said', done.stdout, 'measured: all reply tokens over')


def main():
    with Suite() as suite:
        cases = suite.write('cases.jsonl', json.dumps(CASE) + '\n')
        published(suite, cases)
        local(suite, cases)
    suite.finish()


if __name__ == '__main__':
    main()
