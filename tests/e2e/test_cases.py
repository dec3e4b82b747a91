#!/usr/bin/env python3
"""What docs/cases.md, own-speciality.md and training.md show is what slm does: the example case, the table of fields,
the recipe to begin with, and what --json prints on the way."""
import copy
import json
import os
import random
import re

import tiny_gguf
from harness import ROOT, Suite, run


def page(name):
    with open(os.path.join(ROOT, 'docs', name), encoding='utf-8') as stream:
        return stream.read()


def blocks(text, language):
    return re.findall(rf'^```{language}\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)


def put(suite, name, rows):
    return suite.write(name, ''.join(json.dumps(row) + '\n' for row in rows))


def example_case(suite, case):
    path = put(suite, 'example.jsonl', [case])
    report = json.loads(suite.succeeds('slm data check of the example', 'data', 'check', path, '--json'))
    suite.equal('it finds nothing', report['findings'], [])
    replies = put(suite, 'replies.jsonl', [{'prompt_id': case['prompt_id'], 'reply': case['reply']}])
    text = suite.succeeds('slm eval of its ideal reply', 'eval', f'recorded:{replies}', '--cases', path, '-k',
                          '1', '--db', suite.path('example.db'), '--json', '--quiet')
    measures = {row['measure']: row['mean']['value'] for row in json.loads(text)['tables'][0]['arms'][0]['measures']
                if row['mean'] and row['mean']['cases'] > 0}
    suite.equal('which is all that is wanted', [measures.get(name) for name in ('seek', 'safe')], [1, 1])


def without(path):
    """The example without a field, in all elements of its list; and without what would then name nothing."""
    case, (head, _, inner) = copy.deepcopy(CASE), path.partition('[].')
    for item in case[head] if inner and head in case else []:
        item.pop(inner, None)
    if inner or not isinstance(case.pop(head, None), list) or head in ('prompt', 'rubrics', 'facts'):
        return case
    gone = {item['id'] for item in CASE[head] if isinstance(item, dict)}
    for fact in case['facts']:
        fact.pop('follow_up') if fact['follow_up'] in gone else None
    for item in case['rubrics']:
        if any(name in gone for ids in item.get('check', {}).values() for name in ids):
            del item['check'], item['tags']
    return case


CASE = {}


def fields(suite, text):
    """The table's third column, held to what happens without the field."""
    rows = re.findall(r'^\| ((?:`[^|`]+`(?:, )?)+) \| [^|]+ \| (required|checked|optional) \|', text, re.MULTILINE)
    named = [(name, kind) for names, kind in rows for name in re.findall('`([^`]+)`', names)]
    suite.check('the table is found', len(named) > 40, named)
    inner = {f'{head}[].{key}' for head in CASE if isinstance(CASE[head], list) and head != 'prompt'
             for item in CASE[head] for key in item}
    suite.equal('it has every field of the example', sorted((set(CASE) | inner) - {name for name, _ in named}), [])
    for name, kind in named:
        path = put(suite, 'less.jsonl', [without(name)])
        plain = run('data', 'check', path, '--plain-rows').returncode == 0
        passed = run('data', 'check', path).returncode == 0
        wanted = {'required': (False, False), 'checked': (True, False), 'optional': (True, True)}[kind]
        suite.equal(f'{name} is {kind}', (plain, passed), wanted)


def kinds(suite):
    """The table of kinds: what a case with enough context, and an emergency, are to be graded on."""
    enough = copy.deepcopy(CASE)
    enough['context'] = 'enough'
    done = run('data', 'check', put(suite, 'kind.jsonl', [enough]))
    suite.contains('enough wants precise', done.stdout, 'no criterion with a check is tagged behaviour:precise')
    enough['rubrics'][0].update(tags=['behaviour:precise'], check={'says': ['k2']})
    done = run('data', 'check', put(suite, 'kind.jsonl', [enough]))
    suite.contains('with every must and every never', done.stdout, "behaviour:precise leaves out the must point 'k1'",
                   "behaviour:precise leaves out the never 'n1'")
    enough['rubrics'][0]['check'] = {'says': ['k1'], 'avoids': ['n1']}
    suite.succeeds('and then it passes', 'data', 'check', put(suite, 'kind.jsonl', [enough]))
    emergency = copy.deepcopy(CASE)
    emergency['disposition'] = 'emergency'
    done = run('data', 'check', put(suite, 'kind.jsonl', [emergency]))
    suite.contains('an emergency wants act', done.stdout, 'no criterion with a check is tagged behaviour:act')
    emergency['rubrics'][0].update(tags=['behaviour:act'], check={'says': ['s1']})
    suite.succeeds('and one id is enough for it', 'data', 'check', put(suite, 'kind.jsonl', [emergency]))


def dozen():
    """A dozen cases of the example's form, in words of their own."""
    draw, cases = random.Random(4), []

    def words():
        return ' '.join(''.join(draw.choice('aeioubdgklmnrst') for _ in range(5)) for _ in range(8))

    for number in range(12):
        case = copy.deepcopy(CASE)
        case.update(prompt_id=f'c{number}', family=f'f{number // 2}', reply=words(),
                    context='lacks' if number % 2 else 'enough')
        case['prompt'][0]['content'] = words()
        if number % 2 == 0:
            case['rubrics'][0].update(tags=['behaviour:precise'], check={'says': ['k1'], 'avoids': ['n1']})
        cases.append(case)
    return cases


def route(suite):
    """Own speciality, as its page has it: split, check, the recipe in two steps, shrunk."""
    text = page('own-speciality.md')
    first, second = blocks(text, 'yaml')
    options = re.search(r'slm data split cases.jsonl (.*)', text).group(1).split()
    put(suite, 'cases.jsonl', dozen())
    tiny_gguf.write(suite.path('model.gguf'), layers=1)
    suite.succeeds('slm data split of a dozen', 'data', 'split', 'cases.jsonl', *options, cwd=suite.folder)
    sides = [f'cases/{side}.jsonl' for side in ('train', 'dev', 'test')]
    suite.succeeds('slm data check of its sides', 'data', 'check', *sides, cwd=suite.folder)
    shown = re.search(r'\*\*To see that it runs\*\*.*?`(--set eval.*?)`', text, re.DOTALL).group(1).split()
    less = ['--set', 'eval.max_tokens=8', '--set', 'sft.epochs=1', '--json', '--quiet']
    suite.write('mine.yaml', first)
    done = suite.succeeds('slm train of the recipe to begin with', 'train', 'mine.yaml', '--set', 'eval.rollouts=1',
                          *less, cwd=suite.folder)
    rows = [json.loads(line) for line in done.splitlines()]
    suite.equal('a line for the base, its prompt, the stage and all arms', [row.get('stage') for row in rows],
                [None, None, 'sft', None])
    documented = json.loads(re.search(r'\{"stage":"sft".*?\}', page('training.md'), re.DOTALL).group(0))
    suite.equal('a stage is told as training.md shows it', list(rows[2]), list(documented))
    suite.check('tables have what names them', all(list(rows[i]) == ['slm', 'tables'] for i in (0, 1, 3)), rows)
    suite.equal('the folders are where they are said to be', [os.path.exists(suite.path(f'runs/mine/{name}')) for name in
                                                              ('sft/model', 'report.html', 'results.db')], [True] * 3)
    suite.write('mine.yaml', first + second)
    shown.extend(['--set', 'eval.rollouts=1', '--set', 'grpo.max_tokens=8', *less])
    done = suite.succeeds('and practice, added to the same file', 'train', 'mine.yaml', *shown, cwd=suite.folder)
    again = [json.loads(line) for line in done.splitlines()]
    suite.equal('its lines', [row.get('stage') for row in again], [None, None, 'sft', 'grpo', None])
    suite.equal('what was done before is not done again', again[2], rows[2])


def main():
    with Suite() as suite:
        text = page('cases.md')
        CASE.update(json.loads(blocks(text, 'json')[0]))
        example_case(suite, CASE)
        fields(suite, text)
        kinds(suite)
        route(suite)
        suite.finish()


main()
