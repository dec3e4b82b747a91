#!/usr/bin/env python3
"""data import, data check and data split on small files made here."""
import hashlib
import io
import json
import os
import random
import zipfile

from harness import Suite, run

MEDQUAD = ('<?xml version="1.0" encoding="UTF-8"?>\n<Document id="1" source="x"><QAPairs>'
           '<QAPair pid="1"><Question qid="1-1">What is (are) Hives ?</Question><Answer>A rash.'
           '</Answer></QAPair><QAPair pid="2"><Question qid="1-2">Who gets hives?</Question>'
           '<Answer/></QAPair></QAPairs></Document>\n')
LIVEQA = ('<LiveQA2017-Medical-Test-Set-Full><NLM-QUESTION qid="TQ1"><Original-Question>'
          '<SUBJECT>hives</SUBJECT><MESSAGE>Do they itch?</MESSAGE></Original-Question>'
          '</NLM-QUESTION></LiveQA2017-Medical-Test-Set-Full>\n')
LAUGHS = ('<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Document><QAPairs><QAPair>'
          '<Question>&b;</Question></QAPair></QAPairs></Document>')


def workbook(rows):
    """An .xlsx of one sheet, its texts inline."""
    cells = ''.join('<row>' + ''.join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in row)
                    + '</row>' for row in rows)
    data = io.BytesIO()
    with zipfile.ZipFile(data, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('xl/workbook.xml', '<workbook xmlns:r="r"><sheets><sheet name="S" '
                         'sheetId="1" r:id="rId1"/></sheets></workbook>')
        archive.writestr('xl/_rels/workbook.xml.rels', '<Relationships><Relationship Id="rId1" '
                         'Target="worksheets/sheet1.xml"/></Relationships>')
        archive.writestr('xl/worksheets/sheet1.xml',
                         f'<worksheet><sheetData>{cells}</sheetData></worksheet>')
    return data.getvalue()


def importing(suite):
    os.makedirs(suite.path('sets/medquad'))
    suite.write('sets/medquad/1.xml', MEDQUAD)
    suite.write('sets/medquad/2.xml', MEDQUAD)
    suite.write('sets/medquad/readme.txt', 'About these files.\n')
    suite.write('sets/liveqa.xml', LIVEQA)
    suite.write('sets/drugs.xlsx', workbook([['Question', 'Focus (Drug)'], ['can I split it?', 'x'],
                                             ['who gets hives?', 'y']]))
    suite.write('sets/notes.jsonl', '{"question": "one?"}\n{"question": \n{"question": "two?"}\n')
    out = suite.path('inventory.jsonl')
    done = run('data', 'import', suite.path('sets'), '-o', out)
    suite.equal('data import', done.returncode, 0)
    suite.contains('it tells what it could not read, and where', done.stderr, 'notes.jsonl:2:',
                   'readme.txt: passed over', 'medquad', 'medicationqa')
    with open(out, encoding='utf-8') as stream:
        lines = stream.read()
    rows = [json.loads(line) for line in lines.splitlines()]
    suite.equal('every question once, in order', [(row['source'], row['question']) for row in rows],
                [('medicationqa', 'can I split it?'), ('medicationqa', 'who gets hives?'),
                 ('liveqa', 'hives. Do they itch?'), ('medquad', 'What is (are) Hives ?'),
                 ('medquad', 'Who gets hives?'), ('notes.jsonl', 'one?'), ('notes.jsonl', 'two?')])
    suite.check('ids are the questions\' SHA-256',
                all(row['id'] == hashlib.sha256(row['question'].encode()).hexdigest()
                    for row in rows))
    summary = json.loads(suite.succeeds('--json prints the summary', 'data', 'import',
                                        suite.path('sets'), '-o', suite.path('again'), '--json'))
    medquad = next(s for s in summary['sources'] if s['source'] == 'medquad')
    suite.equal('counts of a source', [medquad[key] for key in ('files', 'read', 'kept', 'duplicate')],
                [2, 4, 2, 2])
    suite.equal('bad rows', summary['total']['bad'], 1)
    with open(suite.path('again'), encoding='utf-8') as stream:
        suite.equal('the same bytes twice', stream.read(), lines)
    suite.equal('without -o it goes to stdout', run('data', 'import', suite.path('sets')).stdout,
                lines)
    suite.fails('--json without -o', 2, ['-o'], 'data', 'import', suite.path('sets'), '--json')
    strict = run('data', 'import', suite.path('sets'), '-o', suite.path('strict'), '--strict')
    suite.check('--strict makes a bad row a failure, and writes nothing',
                strict.returncode == 1 and not os.path.exists(suite.path('strict')), strict)
    laughs = run('data', 'import', suite.write('laughs.xml', LAUGHS), '-o', suite.path('nothing'))
    suite.check('entities are refused', laughs.returncode == 1 and 'document type declaration'
                in laughs.stderr and not os.path.exists(suite.path('nothing')), laughs)
    suite.fails('a path that is not there', 1, ['/nowhere'], 'data', 'import', '/nowhere')
    table = suite.write('t.csv', 'n,complaint\n1,my ear rings\n')
    suite.contains('--column', run('data', 'import', table, '--column', 'complaint').stdout,
                   '"my ear rings","source":"t.csv"')


def case(number, family, text, context='lacks', register='terse'):
    return {'prompt_id': f'c{number}', 'family': family, 'context': context, 'register': register,
            'disposition': 'routine', 'language': 'English', 'specialty': 'general', 'rubrics': [],
            'prompt': [{'role': 'user', 'content': text}]}


def random_cases(count, seed, told):
    """Cases of both contexts; with `told` the enough ones are full of digits."""
    draw = random.Random(seed)
    words = [''.join(draw.choice('bdfgklmnprstv') + draw.choice('aeiou') for _ in range(3))
             for _ in range(400)]
    cases = []
    for number in range(count):
        text = ' '.join(draw.choice(words) for _ in range(draw.randrange(8, 60)))
        if told and number % 2:
            text += ' 120 80 37.5'
        cases.append(case(number, f'f{number // 2}', text, 'enough' if number % 2 else 'lacks',
                          'terse' if number % 4 < 2 else 'anxious'))
    return cases


def put(suite, name, rows):
    return suite.write(name, ''.join(json.dumps(row) + '\n' for row in rows))


def checking(suite):
    seed = os.path.join(os.path.dirname(__file__), '..', '..', 'data', 'ask-first', 'seed.jsonl')
    text = suite.succeeds('data check of the cases that are shipped', 'data', 'check', seed)
    suite.contains('a row for each check', text, 'schema', 'duplicates', 'overlap', 'personal',
                   'balance', 'surface')
    cases = random_cases(240, 1, False)
    good = put(suite, 'good.jsonl', cases)
    plain = ['--plain-rows', '--json']
    report = json.loads(suite.succeeds('a set without faults', 'data', 'check', good, *plain))
    verdicts = {row['check']: row['verdict'] for row in report['checks']}
    suite.equal('its verdicts', verdicts,
                {'schema': 'pass', 'duplicates': 'pass', 'alike': 'not run', 'overlap': 'not run',
                 'personal': 'pass', 'balance': 'shown', 'surface': 'pass'})
    told = run('data', 'check', put(suite, 'told.jsonl', random_cases(240, 1, True)), *plain)
    surface = next(row for row in json.loads(told.stdout)['checks'] if row['check'] == 'surface')
    suite.check('looks that tell fail', told.returncode == 1 and surface['verdict'] == 'FAIL'
                and surface['numbers']['auc'] > 0.9, surface['summary'])

    copies = [case(900, 'other', cases[0]['prompt'][0]['content'] + ' indeed'),
              case(901, 'mail', 'Write to me at jane@example.org about it')]
    other = put(suite, 'other.jsonl', copies)
    done = run('data', 'check', good, other, '--plain-rows')
    suite.check('a near copy on another side, and an address',
                done.returncode == 1 and 'c900 is nearly' in done.stdout
                and f'{other}:2: prompt[0].content: e-mail: "ja**@' in done.stdout, done.stdout)
    suite.check('the address itself is not shown', 'jane@' not in done.stdout)

    words = cases[7]['prompt'][0]['content'].split()
    bench = put(suite, 'bench.jsonl', [{'q': 'something else altogether'},
                                       {'q': ' '.join(words[-14:]).upper() + '!'}]
                if len(words) >= 14 else [{'q': ' '.join(words)}])
    proof = suite.path('proof.json')
    done = run('data', 'check', good, '--plain-rows', '--against', bench, '-o', proof)
    suite.check('overlap is found', done.returncode == 1 and f'{bench}:' in done.stdout, done.stdout)
    with open(proof, encoding='utf-8') as stream:
        paper = json.load(stream)
    with open(bench, 'rb') as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    suite.equal('the proof says so', [paper['clean'], paper['overlapping'],
                                      paper['against'][0]['sha256']], [False, ['c7'], digest])
    clean = put(suite, 'clean.jsonl', [{'q': 'something else altogether, nothing like the cases'}])
    suite.succeeds('and a clean one', 'data', 'check', good, '--plain-rows', '--against', clean,
                   '-o', proof)
    with open(proof, encoding='utf-8') as stream:
        suite.equal('is proven clean', json.load(stream)['clean'], True)
    suite.fails('a proof of nothing', 2, ['--against'], 'data', 'check', good, '-o', proof)

    vectors = {'first': [1, 0], 'second': [0.8, 0.6], 'third': [0, 1]}
    tape = put(suite, 'vectors.jsonl', [{'text': text, 'vector': vector, 'model': 'e'}
                                        for text, vector in vectors.items()])
    sides = [put(suite, f'side{n}.jsonl', [case(f'{n}{text}', f'{n}{text}', text) for text in texts])
             for n, texts in enumerate((['first', 'third'], ['second']))]
    done = run('data', 'check', *sides, '--plain-rows', '--encoder', f'recorded:{tape}')
    suite.check('an encoder lists what is alike across sides', done.returncode == 0
                and f'{sides[1]}:1: c1second is like {sides[0]}:1 (c0first) on another side: 0.80'
                in done.stdout and '1 pairs across sides' in done.stdout, done.stdout + done.stderr)
    suite.fails('an encoder that is none', 1, ['an encoder is'], 'data', 'check', good, '--encoder',
                'x.gguf')
    plan = suite.write('plan.yaml', 'shares:\n  context: {lacks: 0.5, enough: 0.5}\n'
                       '  register: {terse: 0.5}\ntolerance: 0.02\n')
    suite.succeeds('a plan that is met', 'data', 'check', good, '--plain-rows', '--plan', plan)
    plan = suite.write('plan.yaml', 'shares:\n  language: {Hindi: 0.1}\n')
    done = run('data', 'check', good, '--plain-rows', '--plan', plan)
    suite.check('and one that is not', done.returncode == 1 and 'the plan wants 10.0%' in done.stdout,
                done.stdout)
    suite.fails('a plan without shares', 1, ['shares'], 'data', 'check', good, '--plan',
                suite.write('empty.yaml', 'a: 1\n'))
    suite.fails('no such file', 1, ['/nowhere'], 'data', 'check', '/nowhere')


def splitting(suite):
    cases = random_cases(400, 2, False)
    whole = put(suite, 'whole.jsonl', cases)
    folder = suite.path('sides')
    out = suite.succeeds('data split', 'data', 'split', whole, '-o', folder, '--seed', '3')
    suite.contains('it tells the sides', out, 'train', 'dev', 'test')
    sides = {}
    for name in ('train', 'dev', 'test'):
        with open(os.path.join(folder, f'{name}.jsonl'), encoding='utf-8') as stream:
            sides[name] = stream.read()
    with open(whole, encoding='utf-8') as stream:
        suite.equal('every row, byte for byte', sorted(''.join(sides.values()).splitlines()),
                    sorted(stream.read().splitlines()))
    families = {name: {json.loads(line)['family'] for line in text.splitlines()}
                for name, text in sides.items()}
    suite.check('no family on two sides', not families['train'] & families['test']
                and not families['train'] & families['dev']
                and not families['dev'] & families['test'])
    suite.equal('shares', [len(sides[name].splitlines()) for name in ('train', 'dev', 'test')],
                [308, 32, 60])
    run('data', 'split', whole, '-o', suite.path('again-sides'), '--seed', '3')
    with open(suite.path('again-sides/test.jsonl'), encoding='utf-8') as stream:
        suite.equal('the same each time', stream.read(), sides['test'])
    half = put(suite, 'half.jsonl', [{**cases[0], 'prompt_id': 'other'}])
    suite.fails('a family in two files', 1, ['half.jsonl:1: family f0', 'whole.jsonl:1'], 'data',
                'split', whole, half, '-o', folder)
    suite.fails('shares beyond the whole', 2, ['training'], 'data', 'split', whole, '--test', '0.6',
                '--dev', '0.5', '-o', folder)


def main():
    with Suite() as suite:
        importing(suite)
        checking(suite)
        splitting(suite)
        suite.finish()


main()
