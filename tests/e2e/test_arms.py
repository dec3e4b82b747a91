#!/usr/bin/env python3
"""Arms against each other, HealthBench's rows and files, parts of a set, targets; and that what goes
wrong before anything was asked leaves nothing behind. On recorded replies and made-up rows."""
import csv
import io
import json
import os

import tiny_gguf
from harness import Suite, run

KEY_POINT = 'Rest the knee and put ice on it for two days.'
ASKS = 'Are you pregnant? Do you take blood thinners?'


def row(name, theme, tags=()):
    """A HealthBench row with our checks, so that the rule judge grades it."""
    return {
        'prompt_id': name, 'canary': 'not a real row',
        'prompt': [{'role': 'user', 'content': f'My knee is swollen ({name}).'}],
        'example_tags': [f'theme:{theme}', *tags],
        'rubrics': [
            {'criterion': 'Asks about pregnancy.', 'points': 6, 'check': {'asks': ['f1', 'f2']},
             'tags': ['level:example', 'axis:context_awareness']},
            {'criterion': 'Says to rest.', 'points': 4, 'check': {'says': ['k1']},
             'tags': ['level:cluster', 'axis:accuracy', f'cluster:{theme}_rest']}],
        'ideal_completions_data': None,
        'follow_ups': [
            {'id': 'f1', 'question': 'Are you pregnant?', 'tier': 'next_step', 'weight': 5, 'why': 'w'},
            {'id': 'f2', 'question': 'Do you take blood thinners?', 'tier': 'next_step', 'weight': 4,
             'why': 'w'}],
        'key_points': [{'id': 'k1', 'text': KEY_POINT, 'must': True}],
    }


ROWS = [row(f'h{i}', 'hedging' if i % 2 else 'communication', ['set:odd'] if i % 3 == 0 else [])
        for i in range(8)]


def lines(rows):
    return ''.join(json.dumps(each) + '\n' for each in rows)


def arms(suite, cases, models):
    """Scores per tag, pairs, targets; one coverage line and one set of baselines for all."""
    db = suite.path('arms.db')
    done = run('eval', *models, '--cases', cases, '-k', '2', '--db', db, '--name', 'asker', '--name',
               'teller', '--name', 'both', '--system', '', '--target', 'score=50%', '--target',
               'axis:accuracy=0.9')
    suite.equal('three models', done.returncode, 0)
    suite.equal('coverage is told once', done.stderr.count('judge rule covers'), 1)
    suite.equal('the floor is searched for once', done.stderr.count('no shuffled baseline'), 0)
    suite.contains('tables by tag, pairs, targets', done.stdout, 'By theme', 'By axis',
                   'Consensus criteria', 'hedging_rest', 'Pairs, mean score', 'p Holm', 'Targets',
                   'asks, % of answers', 'Not comparable with published')
    tree = json.loads(suite.succeeds('report --json', 'report', '--db', db, '--json', '--target',
                                     'score=50%', '--target', 'axis:accuracy=0.9'))
    table = tree['tables'][0]
    found = {arm['model']: arm for arm in table['arms']}
    tags = {tag['tag']: tag['score']['value'] for tag in found['asker']['tags']}
    suite.equal('scores per tag', (tags['theme:hedging'], tags['axis:accuracy'],
                                   tags['axis:context_awareness'], tags['cluster:hedging_rest']),
                (0.6, 0, 1, 0))
    suite.equal('the ask rate', [found[name]['style']['asks']['value'] for name in
                                 ('asker', 'teller')], [1, 0])
    suite.equal('words of an answer', found['asker']['style']['words']['value'],
                len(ASKS.split()))
    states = {name: [t['state'] for t in found[name]['targets']] for name in
              ('asker', 'teller', 'both')}
    # All cases are alike, so that no interval is known but for 0 and 1: that of 8 of 8.
    suite.equal('targets', states, {'asker': ['reached', 'missed'], 'teller': ['missed', 'reached'],
                                    'both': ['met', 'reached']})
    suite.equal('not comparable', found['asker']['comparable_with_published'], False)
    pairs = {(c['first'], c['second']): c for c in table['comparisons'] if c['k'] == 1}
    suite.equal('three pairs', len(pairs), 3)
    pair = next(c for names, c in pairs.items() if set(names) == {'asker', 'teller'})
    suite.check('their difference', abs(abs(pair['difference']) - 0.2) < 1e-12, pair)
    suite.check('p is exact: 2 of 2^8 flips', pair['exact'] and pair['p'] == 2 / 256, pair)
    suite.check("Holm's is three times that", pair['p_holm'] == 3 * 2 / 256, pair)
    suite.fails('a target that is none', 2, ["target 'scor=1'", 'take score'], 'eval', models[0],
                '--cases', cases, '--db', suite.path('none.db'), '--target', 'scor=1')
    return db


def parts(suite, cases, models, db):
    """--tag, --also-in and --criteria, when evaluating and when reporting."""
    hard = suite.write('hard.jsonl', lines(ROWS[:5]))
    part = suite.path('part.db')
    done = run('eval', models[0], '--cases', cases, '-k', '1', '--db', part, '--name', 'asker', '--tag',
               'theme:hedging', '--tag', 'set:*', '--also-in', hard, '--criteria', 'axis:accuracy',
               '--json')
    suite.equal('a part of the cases', done.returncode, 0)
    suite.contains('it says which', done.stderr, '1 of the 8 cases read, 1 of their 2 criteria')
    arm = next(a for a in json.loads(done.stdout)['tables'][0]['arms'] if a['model'] == 'asker')
    suite.equal('scored over what is kept', (arm['score']['value'], arm['score']['cases']), (0, 1))
    for more, wanted in ((['--criteria', 'axis:context_awareness'], (1, 8)),
                         (['--criteria', '*rest.'], (0, 8)),
                         (['--tag', 'theme:hedging'], (0.6, 4)),
                         (['--tag', 'theme:hedging', '--also-in', hard], (0.6, 2))):
        tree = json.loads(run('report', '--db', db, '--json', *more).stdout)
        arm = next(a for a in tree['tables'][0]['arms'] if a['model'] == 'asker')
        suite.equal('report ' + ' '.join(more[:2]), (arm['score']['value'], arm['score']['cases']),
                    wanted)
    suite.fails('nothing is left', 1, ['no case and criterion is left'], 'report', '--db', db, '--tag',
                'theme:none')
    suite.fails('no such tag', 1, ['--tag, --also-in, --criteria'], 'eval', models[0], '--cases',
                cases, '--db', suite.path('none.db'), '--tag', 'theme:none')


def simple_evals(suite, cases, db):
    """Out as simple-evals writes it, and in again."""
    out = suite.path('asker_allresults.json')
    suite.succeeds('export --simple-evals', 'eval', 'export', '--simple-evals', '--model', 'asker',
                   '--db', db, '-o', out)
    tree = json.load(open(out, encoding='utf-8'))
    answers = tree['metadata']['example_level_metadata']
    suite.equal('all answers', len(answers), 16)
    suite.equal('score and metrics', (tree['score'], tree['metrics']['overall_score'],
                                      tree['metrics']['theme:hedging'],
                                      tree['metrics']['theme:hedging:n_samples']), (0.6, 0.6, 0.6, 8))
    suite.equal('verdicts', [item['criteria_met'] for item in answers[0]['rubric_items']],
                [True, False])
    again = suite.path('again.db')
    suite.succeeds('import it', 'eval', 'import', out, '--name', 'asker', '--db', again, '--cases',
                   cases)
    suite.succeeds('and export it', 'eval', 'export', '--simple-evals', '--db', again, '-o',
                   suite.path('second.json'))
    suite.check('the same', json.load(open(suite.path('second.json'), encoding='utf-8')) == tree)
    rows = list(csv.DictReader(io.StringIO(run('report', '--db', again, '--csv', 'tags').stdout)))
    suite.check('tags of imported scores',
                any(r['tag'] == 'theme:hedging' and float(r['score']) == 0.6 for r in rows), rows)
    suite.fails('which arm', 2, ['which of 3 arms', '--model'], 'eval', 'export', '--simple-evals',
                '--db', db)
    suite.fails('--model is for --simple-evals', 2, ['--simple-evals'], 'eval', 'export', '--model',
                'asker', '--db', db)
    suite.fails('filters are of --cases', 2, ['name that too'], 'eval', 'import', out, '--tag', 'x',
                '--db', suite.path('none.db'))
    meta = suite.write('meta.jsonl', lines([{
        'prompt': [], 'completion': '', 'rubric': '', 'category': '', 'binary_labels': [True],
        'anonymized_physician_ids': ['a']}]))
    suite.fails('meta-evaluation rows are no cases', 1, ['meta.jsonl:1', 'slm judge'], 'eval',
                'recorded:x', '--cases', meta, '--db', suite.path('none.db'))


def nothing_left(suite, cases, recorded):
    """Wrong use that shows late leaves no database; coverage is refused before a model is opened."""
    model = suite.path('tiny.gguf')
    tiny_gguf.write(model)
    plain = suite.write('plain.jsonl', lines([{
        'prompt_id': 'p', 'prompt': [{'role': 'user', 'content': 'Q?'}],
        'rubrics': [{'criterion': 'Is kind.', 'points': 1, 'tags': []}], 'example_tags': []}]))
    db = suite.path('left.db')
    suite.fails('coverage is refused', 2, ['covers no criterion'], 'eval', model, '--quiet', '--cases', plain,
                '--db', db)
    suite.fails('before the model is looked at', 2, ['covers no criterion'], 'eval',
                suite.path('missing.gguf'), '--quiet', '--cases', plain, '--db', db)
    for name, status, parts, more in (
            ('--memory is too small', None, ['memory'], ['--memory', '1K']),
            ('--template is wrong', None, ['template'], ['--template', 'nosuch'])):
        done = run('eval', model, '--cases', cases, '--db', db, *more)
        suite.check(name, done.returncode != 0 and parts[0] in done.stderr, done)
        suite.check(f'{name}: nothing is left', not [n for n in os.listdir(suite.folder)
                                                     if n.startswith('left.db')],
                    os.listdir(suite.folder))
    suite.fails('an import of nothing', 1, ['nowhere.csv'], 'eval', 'import', '/nowhere.csv', '--db', db)
    broken = suite.write('broken.csv', 'model,case\n')
    suite.fails('a broken import', 1, ['broken.csv:1'], 'eval', 'import', broken, '--db', db)
    suite.check('nothing is left', not os.path.exists(db), os.listdir(suite.folder))
    # One that fails does not keep the others from being asked.
    empty = suite.write('empty.jsonl', lines([{'last': 'another question', 'reply': 'x'}]))
    done = run('eval', f'recorded:{empty}', recorded, '--cases', cases, '-k', '1', '--db', db,
               '--name', 'fails', '--name', 'asker')
    suite.check('a model that fails is told', done.returncode == 1 and 'failed' in done.stderr, done)
    text = run('report', '--db', db, '--csv', 'scores').stdout
    suite.check('the other was asked', text.count('\nasker,') == 8, (done.stderr, text[:500]))


def main():
    with Suite() as suite:
        cases = suite.write('cases.jsonl', lines(ROWS))
        models = ['recorded:' + suite.write(f'{name}.jsonl', lines([{'reply': reply}]))
                  for name, reply in (('asker', ASKS), ('teller', KEY_POINT),
                                      ('both', f'{KEY_POINT} {ASKS}'))]
        db = arms(suite, cases, models)
        parts(suite, cases, models, db)
        simple_evals(suite, cases, db)
        nothing_left(suite, cases, models[0])
    suite.finish()


if __name__ == '__main__':
    main()
