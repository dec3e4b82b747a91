#!/usr/bin/env python3
"""slm bench on a small model: what it tells, that its figures fit each other, and what it refuses.

Speeds are not held to anything: they belong to the machine.
"""
import json
import os

import tiny_gguf
from harness import Suite, run


def figures(suite, model):
    text = suite.succeeds('slm bench --json', 'bench', model, '--json', '--repeat', '3', '--tokens',
                          '6', '--threads', '2')
    tree = json.loads(text)
    suite.equal('threads and rounds', (tree['threads'], tree['repeat']), (2, 3))
    limits = [tree[key] for key in ('read_bytes_per_s', 'bf16_flop_per_s', 'f32_flop_per_s')]
    suite.check('limits', all(1e6 < limit < 1e16 for limit in limits), limits)
    suite.equal('what was measured', [(test['test'], test['prompt_tokens'], test['rollouts'],
                                       test['reply_tokens']) for test in tree['tests']],
                [('prefill', 512, 0, 0), ('decode', 256, 1, 6), ('decode', 256, 16, 6),
                 ('decode', 256, 32, 6)])
    for test in tree['tests']:
        name = f'{test["test"]} of {test["rollouts"]}'
        suite.equal(f'{name}: the median of three', test['tokens_per_s'], sorted(test['runs'])[1])
        by_reading = tree['read_bytes_per_s'] / test['bytes_per_token']
        by_peak = tree['bf16_flop_per_s'] / test['flop_per_token']
        suite.check(f'{name}: the limit is the smaller of two',
                    abs(test['limit_tokens_per_s'] / min(by_reading, by_peak) - 1) < 1e-6
                    and test['limit'] == ('reading' if by_reading < by_peak else 'peak'), test)
        suite.check(f'{name}: the share', 0 < test['share'] and abs(
            test['share'] * test['limit_tokens_per_s'] / test['tokens_per_s'] - 1) < 1e-6, test)
    return tree


def costs(suite, tree, facts):
    """By hand, for 3 layers of width 32, 4 heads of 8, 2 for keys and values, a tied head."""
    _, one, sixteen, _ = tree['tests']
    table = facts['vocabulary'] * 32
    keys = 256 + 3.5  # the mean over 6 steps
    suite.equal('operations of a token', one['flop_per_token'],
                2 * (facts['parameters'] - table) + 2 * table + 4 * 3 * 4 * 8 * keys)
    key_bytes = 2 * 3 * 2 * 8 * 2
    weights = tree['model']['weight_bytes']
    suite.check('weights are counted as bf16', weights >= 2 * (facts['parameters'] - 7 * 32), weights)
    suite.equal('bytes of a token', one['bytes_per_token'], weights + key_bytes * keys)
    suite.equal('16 replies share weights and prompt', sixteen['bytes_per_token'],
                (weights + key_bytes * (256 + 16 * 3.5)) / 16)


def other_ways(suite, model):
    text = suite.succeeds('a table', 'bench', model, '--repeat', '1', '--tokens', '2', '--dtype',
                          'f32', '--kernels', 'ref')
    suite.contains('it tells', text, 'kernels ref', 'GB/s', 'prefill of 512', 'decode 32 x 2', '% of')
    tree = json.loads(suite.succeeds('without a model', 'bench', '--json', '--repeat', '1'))
    suite.check('the machine alone', 'tests' not in tree and tree['read_bytes_per_s'] > 0, tree)
    tree = json.loads(suite.succeeds('a narrow one', 'bench', model, '--json', '--repeat', '1',
                                     '--ctx', '64', '--batch', '4', '--memory', '64K'))
    suite.equal('a short context', [(test['prompt_tokens'], test['reply_tokens'])
                                    for test in tree['tests']], [(63, 0)] + 3 * [(32, 32)])


def refused(suite, model):
    suite.fails('no such model', 1, ['nosuch.gguf'], 'bench', suite.path('nosuch.gguf'))
    recorded = suite.write('recorded.jsonl', '{"reply": "x"}\n')
    suite.fails('recorded replies', 2, [recorded, '.gguf'], 'bench', 'recorded:' + recorded)
    suite.fails('no rounds', 2, ['--repeat'], 'bench', '--repeat', '0')
    suite.fails('a context of its own', 2, ['--ctx', '3'], 'bench', model, '--ctx', '3')
    suite.fails('more context than there is', 2, ['--ctx', '2048'], 'bench', model, '--ctx', '4096')
    done = run('bench', model, '--memory', '1', '--repeat', '1')
    suite.check('too little memory', done.returncode == 2 and '--memory' in done.stderr, done)


def main():
    os.environ.pop('NO_COLOR', None)
    with Suite() as suite:
        model = suite.path('tiny.gguf')
        facts = tiny_gguf.write(model)
        tree = figures(suite, model)
        costs(suite, tree, facts)
        other_ways(suite, model)
        refused(suite, model)
        suite.finish()


if __name__ == '__main__':
    main()
