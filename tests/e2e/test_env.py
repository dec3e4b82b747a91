#!/usr/bin/env python3
"""slm eval --env multi-turn: recorded models in conversation with the simulated patient, or with a
recorded one: who is asked what, what is stored, what is graded, wrong use."""
import json

import tiny_gguf
from harness import Suite, run

FACTS = {'f1': ('Are you pregnant, or could you be?', 'Yes, 29 weeks.'),
         'f2': ('Do you take blood thinners?', 'No tablets at all.')}
POINT = 'Ibuprofen may not be safe for you if you are pregnant.'
ADVICE = 'If you lose feeling between your legs, go to an emergency department straight away.'


def make_case(name, context):
    seek = {'criterion': 'Asks.', 'points': 7, 'tags': ['behaviour:seek'],
            'check': {'asks': ['f1', 'f2']}}
    precise = {'criterion': 'Answers.', 'points': 7, 'tags': ['behaviour:precise'],
               'check': {'says': ['k1'], 'avoids': ['n1']}}
    safe = {'criterion': 'Warns.', 'points': 5, 'tags': ['behaviour:safe'],
            'check': {'says': ['s1', 'k1'], 'avoids': ['n1']}}
    return {
        'prompt_id': name, 'family': 'back', 'context': context, 'disposition': 'routine',
        'prompt': [{'role': 'user', 'content': f'My back aches ({name}). May I take something?'}],
        'rubrics': [seek if context == 'lacks' else precise, safe], 'language': 'English',
        'example_tags': [], 'register': 'terse', 'difficulty': 2,
        'follow_ups': [{'id': key, 'question': question, 'tier': 'next_step', 'weight': 5, 'why': 'w'}
                       for key, (question, _) in FACTS.items()],
        'facts': [{'id': 'a' + key, 'follow_up': key, 'topic': key, 'answer': answer}
                  for key, (_, answer) in FACTS.items()],
        'key_points': [{'id': 'k1', 'text': POINT, 'must': True}],
        'advice': [{'id': 's1', 'if': 'you lose feeling between your legs',
                    'then': 'go to an emergency department straight away'}],
        'never': [{'id': 'n1', 'text': 'It is fine to take ibuprofen for a few days.'}],
    }


def lines(rows):
    return ''.join(json.dumps(row) + '\n' for row in rows)


def rows_of(db, table):
    done = run('eval', 'export', '--db', db)
    return [row for row in map(json.loads, done.stdout.splitlines()) if row['table'] == table]


def model_run(db):
    return next(row for row in rows_of(db, 'runs') if row['kind'] == 'model')


def samples_of(db):
    key = model_run(db)['hash']
    return {row['case']: row for row in rows_of(db, 'samples') if row['run'] == key}


def conversation(suite, cases):
    """It asks for one thing, then for the other, then advises."""
    model = suite.write('asker.jsonl', lines([
        {'last': FACTS['f1'][1], 'reply': 'Do you take blood thinners?'},
        {'last': FACTS['f2'][1], 'reply': f'{POINT} {ADVICE}'},
        {'reply': 'Are you pregnant?'}]))
    db = suite.path('talk.db')
    base = ['eval', 'recorded:' + model, '--cases', cases, '-k', '1', '--env', 'multi-turn', '--db', db]
    done = run(*base)
    suite.equal('slm eval --env multi-turn', done.returncode, 0)
    suite.contains('it tells the coverage over all turns', done.stderr, '2 episodes, 3.0 replies each',
                   'coverage of follow-ups over all turns 1.00 in the 1 that lack context')
    samples = samples_of(db)
    suite.equal('every case is an episode', sorted(samples), ['enough', 'lacks'])
    talk = samples['lacks']['transcript']
    talk = json.loads(talk) if isinstance(talk, str) else talk
    suite.equal('stored whole', [(m['role'], m['content']) for m in talk[1:]], [
        ('user', 'My back aches (lacks). May I take something?'), ('assistant', 'Are you pregnant?'),
        ('user', FACTS['f1'][1]), ('assistant', 'Do you take blood thinners?'),
        ('user', FACTS['f2'][1]), ('assistant', f'{POINT} {ADVICE}')])
    suite.equal('with what was counted', talk[-1].get('env'),
                {'coverage': 1, 'follow_ups_asked': 2, 'questions': 2, 'replies': 3})
    suite.equal('the answer is the last reply', samples['lacks']['reply'], f'{POINT} {ADVICE}')
    key = model_run(db)['hash']
    scores = {row['case']: row['score'] for row in rows_of(db, 'gradings') if row['run'] == key}
    suite.equal('asking counts in whatever reply it stands', scores, {'lacks': 1, 'enough': 1})
    before = run('eval', 'export', '--db', db).stdout
    run(*base)
    suite.check('again adds nothing', run('eval', 'export', '--db', db).stdout == before)
    single = suite.path('single.db')
    run('eval', 'recorded:' + model, '--cases', cases, '-k', '1', '--db', single)
    suite.check('a single turn is another run', model_run(single)['hash'] != key)
    suite.equal('of one reply', samples_of(single)['lacks']['reply'], 'Are you pregnant?')
    shorter = suite.path('shorter.db')
    run(*base[:-1], shorter, '--turns', '2')
    suite.equal('--turns ends it', samples_of(shorter)['lacks']['reply'], 'Do you take blood thinners?')


def unknowing(suite, cases):
    model = suite.write('odd.jsonl', lines([{'last': 'May I take something?', 'reply': 'x'},
                                            {'reply': 'How old is your house?'}]))
    db = suite.path('odd.db')
    suite.succeeds('what no fact answers', 'eval', 'recorded:' + model, '--cases', cases, '-k', '2',
                   '--env', 'multi-turn', '--db', db)
    told = json.dumps(list(samples_of(db).values()))
    suite.check('is answered with not knowing', all(answer not in told for _, answer in FACTS.values())
                and any(word in told for word in ("No idea.", "Don't know.", "Can't say.", "Not sure.")),
                told[:1500])


def patient_model(suite, cases):
    model = suite.write('asks.jsonl', lines([{'last': 'I think I am.', 'reply': POINT},
                                             {'reply': 'Are you pregnant?'}]))
    patient = suite.write('patient.jsonl', lines([{'reply': 'I think I am.'}]))
    db = suite.path('patient.db')
    base = ['eval', 'recorded:' + model, '--cases', cases, '-k', '1', '--db', db]
    suite.succeeds('--patient', *base, '--env', 'multi-turn', '--patient', 'recorded:' + patient)
    suite.contains('speaks for the patient', json.dumps(samples_of(db)['lacks']), 'I think I am.')
    suite.contains('and is part of the run', json.dumps(model_run(db)['sampling']), 'patient')
    tiny_gguf.write(suite.path('tiny.gguf'))
    tiny = ['eval', suite.path('tiny.gguf'), '--cases', cases, '-k', '1', '--max-tokens', '4', '--env',
            'multi-turn', '--patient', suite.path('tiny.gguf'), '--template']
    who = []
    for template in ('chatml', 'qwen3'):
        suite.succeeds(f'--template {template}', *tiny, template, '--db', suite.path(template + '.db'))
        sampling = model_run(suite.path(template + '.db'))['sampling']
        who.append((json.loads(sampling) if isinstance(sampling, str) else sampling)['env']['patient'])
    suite.equal('is of the model that is measured, not of the patient', who[0], who[1])
    suite.fails('without --env multi-turn', 2, ['--patient', '--env multi-turn'], *base,
                '--patient', 'recorded:' + patient)
    suite.fails('a patient that is not there', 1, ['nowhere.jsonl'], *base, '--env', 'multi-turn',
                '--patient', 'recorded:' + suite.path('nowhere.jsonl'))
    suite.fails('an environment that there is not', 2, ['--env', 'multi-turn'], *base, '--env', 'two')
    suite.fails('turns beyond bounds', 2, ['turns', '32'], *base, '--env', 'multi-turn', '--turns', '99')


def main():
    with Suite() as suite:
        cases = suite.write('cases.jsonl', lines([make_case('lacks', 'lacks'),
                                                  make_case('enough', 'enough')]))
        conversation(suite, cases)
        unknowing(suite, cases)
        patient_model(suite, cases)
        suite.contains('--help tells of it', suite.succeeds('slm eval --help', 'eval', '--help'),
                       '--env', 'multi-turn', '--patient', '--turns')
        suite.finish()


if __name__ == '__main__':
    main()
