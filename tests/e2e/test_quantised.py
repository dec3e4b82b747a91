#!/usr/bin/env python3
"""--quantised: weights kept as a file has them give the same answers to the bit, are the same run of
an evaluation, and take the memory that slm info tells."""
import json

import tiny_gguf
from harness import Suite, run

CASE = {'prompt_id': 'c1', 'prompt': [{'role': 'user', 'content': 'My chest hurts.'}],
        'follow_ups': [{'id': 'f1', 'question': 'Since when does it hurt?', 'tier': 'next_step',
                        'weight': 5, 'why': 'it says how urgent it is'}],
        'rubrics': [{'criterion': 'Asks since when.', 'points': 5, 'tags': [],
                     'check': {'asks': ['f1']}}], 'example_tags': []}


def answers(suite, model):
    base = ['chat', model, '-p', 'the mother', '--temperature', '1.2', '--max-tokens', '24',
            '--json']
    for more in ([], ['--dtype', 'f32'], ['--kernels', 'ref'], ['--threads', '2']):
        name = ' '.join(more) or 'as it is'
        wide = suite.succeeds('widened, ' + name, *base, '--quantised', 'widen', *more)
        suite.equal('kept, ' + name, run(*base, '--quantised', 'keep', *more).stdout, wide)
        suite.equal('left to slm, ' + name, run(*base, *more).stdout, wide)
    suite.fails('another word', 2, ['--quantised', 'keep'], *base, '--quantised', 'maybe')


def memory(suite, model, facts):
    tree = json.loads(suite.succeeds('slm info --json', 'info', model, '--json', '--kernels',
                                     'ref'))['memory']
    matrices = facts['parameters']  # all but a few norms
    suite.equal('what auto chooses', tree['quantised']['chosen'], 'widen')
    suite.equal('what is told is what is chosen', tree['weight_bytes'],
                tree['quantised']['widen_weight_bytes'])
    kept = tree['quantised']['keep_weight_bytes']
    suite.check('Q8_0 takes 34 bytes for 32 numbers', 1.06 < kept / matrices < 1.2, (kept, facts))
    suite.check('BF16 takes 2 for each', 2 <= tree['weight_bytes'] / matrices < 2.1, tree)
    text = suite.succeeds('slm info', 'info', model, '--kernels', 'ref')
    suite.contains('slm info tells of both', text, 'as BF16', '--quantised keep', 'as in the file',
                   'are free')
    text = suite.succeeds('slm info --quantised keep', 'info', model, '--quantised', 'keep')
    suite.contains('and the other way round', text, '--quantised widen', 'as in the file')

    tree = json.loads(run('info', model, '--json', '--kernels', 'ref', '--memory',
                          '200T').stdout)['memory']
    suite.equal('auto keeps them where memory is short', tree['quantised']['chosen'], 'keep')
    suite.equal('and tells what that takes', tree['weight_bytes'], kept)
    plain = suite.path('plain.gguf')
    tiny_gguf.write(plain)
    suite.check('a file that is not quantised has no choice',
                'quantised' not in json.loads(run('info', plain, '--json').stdout)['memory']
                and '--quantised' not in run('info', plain).stdout)


def evaluation(suite, model):
    cases = suite.write('cases.jsonl', json.dumps(CASE) + '\n')
    base = ['eval', model, '--cases', cases, '-k', '3', '--max-tokens', '8', '--db',
            suite.path('results.db'), '--judge', 'rule']
    first = run(*base, '--quantised', 'widen')
    again = run(*base, '--quantised', 'keep')
    suite.equal('an evaluation, and again with weights kept', (first.returncode, again.returncode),
                (0, 0))
    lines = [json.loads(line) for line in suite.succeeds(
        'export', 'eval', 'export', '--db', suite.path('results.db')).splitlines()]
    runs = [row for row in lines if row['table'] == 'runs' and row['kind'] != 'baseline']
    suite.equal('it is one run', len(runs), 1)
    suite.equal('of three samples', sum(row['table'] == 'samples' and row['run'] == runs[0]['hash']
                                        for row in lines), 3)


def bench(suite, model):
    arguments = ['bench', model, '--repeat', '1', '--tokens', '4', '--ctx', '64', '--json']
    kept, wide = (json.loads(suite.succeeds('slm bench --quantised ' + how, *arguments,
                                            '--quantised', how))['model']
                  for how in ('keep', 'widen'))
    suite.equal('bench tells which', (kept['quantised'], wide['quantised']), (True, False))
    suite.check('and the bytes', kept['weight_bytes'] * 3 < wide['weight_bytes'] * 2, (kept, wide))


def main():
    with Suite() as suite:
        model = suite.path('tiny.gguf')
        facts = tiny_gguf.write(model, width=64, feed=96, quantised=True)
        answers(suite, model)
        memory(suite, model, facts)
        evaluation(suite, model)
        bench(suite, model)
        suite.finish()


if __name__ == '__main__':
    main()
