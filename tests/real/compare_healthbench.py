#!/usr/bin/env python3
"""slm's scores against HealthBench's formulas, computed here anew and with numpy.

    compare_healthbench.py --judge-rows dev.jsonl --rows dev.jsonl [--slm build/slm]

--judge-rows: JSON Lines of {prompt, response, rubrics[{criterion, points, criteria_met}]}, answers
with verdicts that a judge gave. --rows: HealthBench's own rows, to which verdicts are drawn here at
random. Both are made into files as simple-evals writes them, without scores, and imported; what
`slm eval export --simple-evals` and `slm report --json` say of them must be what is computed here:
every score, tag, aggregate, its subsets by tag and criteria, worst at k, pairs and their exact
permutation test. Rows are read, never printed. The formulas are simple-evals' (healthbench_eval.py:
calculate_score, grade_sample, _aggregate_get_clipped_mean); numpy is needed.
"""
import argparse
import collections
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile

import numpy

WORST = 0.0
FAILED = 0


def check(name, got, wanted, tolerance=1e-12):
    global WORST, FAILED
    if got is None or wanted is None or isinstance(wanted, int):
        good, difference = got == wanted, 0
    else:
        difference = abs(got - wanted)
        good = difference <= tolerance
    if tolerance <= 1e-12:
        WORST = max(WORST, difference)
    if not good:
        FAILED += 1
        print(f'not equal: {name}: {got!r}, wanted {wanted!r}')


def score_of(items):
    possible = sum(item['points'] for item in items if item['points'] > 0)
    if possible == 0:
        return None
    return sum(item['points'] for item in items if item['criteria_met']) / possible


def metrics_of(answers):
    """Name -> list of values over answers, as the reference aggregates them."""
    values = collections.defaultdict(list)
    for answer in answers:
        overall = score_of(answer['items'])
        metrics = {'overall_score': overall}
        metrics.update({tag: overall for tag in answer['example_tags']})
        by_tag = collections.defaultdict(list)
        for item in answer['items']:
            for tag in item['tags']:
                by_tag[tag].append(item)
        for tag, items in by_tag.items():
            score = score_of(items)
            if score is not None:
                metrics[tag] = score
        for name, value in metrics.items():
            values[name].append(value)
        values['score'].append(overall)
    return values


def allresults(answers):
    return {'score': None, 'metrics': {}, 'htmls': [], 'convos': [], 'metadata': {
        'example_level_metadata': [{
            'score': None,
            'usage': {'input_tokens': None, 'output_tokens': None},
            'rubric_items': answer['items'],
            'prompt': answer['prompt'],
            'completion': [{'role': 'assistant', 'content': answer['text']}],
            'prompt_id': answer['prompt_id'],
        } for answer in answers]}}


class Work:
    def __init__(self, slm):
        self.slm = slm
        self.folder = tempfile.TemporaryDirectory()
        self.db = self.path('r.db')

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def run(self, *arguments):
        done = subprocess.run([self.slm, *arguments], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'slm {" ".join(arguments[:3])} failed: {done.stderr[:2000]}')
        return done.stdout

    def put(self, name, answers, *more):
        path = self.path(f'{name}_allresults.json')
        with open(path, 'w') as out:
            json.dump(allresults(answers), out)
        self.run('eval', 'import', path, '--name', name, '--db', self.db, *more)

    def exported(self, name):
        return json.loads(self.run('eval', 'export', '--simple-evals', '--model', name,
                                   '--db', self.db))

    def report(self, *more):
        return json.loads(self.run('report', '--db', self.db, '--json', *more))


def clipped(value):
    return float(min(max(value, 0), 1))


def compare_metrics(title, exported, answers):
    wanted = metrics_of(answers)
    check(f'{title}: score', exported['score'], clipped(numpy.mean(wanted['score'])))
    names = {name for name in exported['metrics'] if not name.endswith((':n_samples',
                                                                       ':bootstrap_std'))}
    check(f'{title}: names', sorted(names) == sorted(set(wanted) - {'score'}), True)
    for name, values in wanted.items():
        if name != 'score':
            check(f'{title}: {name}', exported['metrics'].get(name), clipped(numpy.mean(values)))
        check(f'{title}: {name} n', exported['metrics'][f'{name}:n_samples'], len(values))
        # What a bootstrap's standard deviation approaches.
        check(f'{title}: {name} std', exported['metrics'][f'{name}:bootstrap_std'],
              float(numpy.std(values) / numpy.sqrt(len(values))))
    # Round trip: every answer with its score, verdicts and texts.
    key = lambda row: (row['prompt_id'], row['completion'][0]['content'])
    got = sorted(exported['metadata']['example_level_metadata'], key=key)
    sent = sorted(allresults(answers)['metadata']['example_level_metadata'], key=key)
    scores = {(answer['prompt_id'], answer['text']): score_of(answer['items'])
              for answer in answers}
    check(f'{title}: answers', len(got), len(sent))
    check(f'{title}: conversations', len(exported['convos']), len(sent))
    for mine, theirs in zip(got, sent):
        check(f'{title}: an answer', mine['score'], scores[key(theirs)])
        check(f'{title}: its prompt', mine['prompt'] == theirs['prompt'], True)
        verdicts = [(i['criterion'], i['points'], i['criteria_met'], i['tags'])
                    for i in theirs['rubric_items']]
        check(f'{title}: its verdicts',
              [(i['criterion'], i['points'], i['criteria_met'], i['tags'])
               for i in mine['rubric_items']] == verdicts, True)
        both = mine['prompt_id'] + mine['completion'][0]['content']
        check(f'{title}: its id',
              mine['completion_id'] == hashlib.sha256(both.encode()).hexdigest(), True)


# ---- recorded verdicts ---------------------------------------------------------------------------

def recorded(path):
    answers, seen = [], collections.Counter()
    for line in open(path, encoding='utf-8'):
        row = json.loads(line)
        prompt_id = hashlib.sha256(json.dumps([row['prompt'], [r['criterion']
                                               for r in row['rubrics']]]).encode()).hexdigest()
        seen[prompt_id] += 1
        items = [{'criterion': r['criterion'], 'points': r['points'], 'tags': [],
                  'criteria_met': r['criteria_met'], 'explanation': ''} for r in row['rubrics']]
        answers.append({'prompt_id': prompt_id, 'prompt': row['prompt'], 'example_tags': [],
                        'items': items, 'text': f'{seen[prompt_id]}. {row["response"]}'})
    return answers


def compare_recorded(work, path):
    answers = recorded(path)
    work.put('recorded', answers)
    compare_metrics('recorded', work.exported('recorded'), answers)
    arm = work.report()['tables'][0]['arms'][0]
    by_case = collections.defaultdict(list)
    for answer in answers:
        by_case[answer['prompt_id']].append(score_of(answer['items']))
    check('recorded: mean over cases', arm['score']['value'],
          clipped(numpy.mean([numpy.mean(scores) for scores in by_case.values()])))
    least = min(len(scores) for scores in by_case.values())
    check('recorded: curve', len(arm['worst_at_k']), least)
    for k in range(1, least + 1):
        wanted = numpy.mean([numpy.mean([min(draw) for draw in itertools.combinations(scores, k)])
                             for scores in by_case.values()])
        check(f'recorded: worst at {k}', arm['worst_at_k'][k - 1]['value'], clipped(wanted))
    return len(answers)


# ---- random verdicts -----------------------------------------------------------------------------

def drawn(rows, share, rollouts, seed):
    draw = random.Random(seed)
    answers = []
    for rollout in range(rollouts):
        for row in rows:
            items = [dict(item, criteria_met=draw.random() < share, explanation='drawn')
                     for item in row['rubrics']]
            answers.append({'prompt_id': row['prompt_id'], 'prompt': row['prompt'],
                            'example_tags': row['example_tags'], 'items': items,
                            'text': f'answer {rollout}'})
    return answers


def kept(answers, tags=(), criterion_tags=()):
    for answer in answers:
        items = [item for item in answer['items']
                 if not criterion_tags or set(criterion_tags) & set(item['tags'])]
        if set(tags) <= set(answer['example_tags']) and any(i['points'] > 0 for i in items):
            yield dict(answer, items=items)


def sign_flip(differences):
    """Exact p, two-sided, over all flips."""
    differences = numpy.array([d for d in differences if d != 0])
    flips = numpy.array(list(itertools.product([1, -1], repeat=len(differences))))
    sums = numpy.abs(flips @ differences)
    return float(numpy.mean(sums >= abs(differences.sum()) - 1e-12 * abs(differences).sum()))


def means(answers):
    by_case = collections.defaultdict(list)
    for answer in answers:
        by_case[answer['prompt_id']].append(score_of(answer['items']))
    return {case: numpy.mean(scores) for case, scores in by_case.items()}


def compare_arms(title, report, arms):
    """Differences, p and Holm's p of every pair."""
    comparisons = [c for c in report['tables'][0]['comparisons'] if c['k'] == 1]
    check(f'{title}: pairs', len(comparisons), len(arms) * (len(arms) - 1) // 2)
    wanted = []
    for c in comparisons:
        first, second = means(arms[c['first']]), means(arms[c['second']])
        differences = [first[case] - second[case] for case in first]
        check(f'{title}: difference', c['difference'], float(numpy.mean(differences)))
        if c['exact']:
            check(f'{title}: p', c['p'], sign_flip(differences))
        else:
            flips = numpy.random.default_rng(1).choice([1, -1], (10000, len(differences)))
            sums = numpy.abs(flips @ numpy.array(differences))
            check(f'{title}: p', c['p'],
                  float((1 + (sums >= abs(sum(differences))).sum()) / 10001), 0.03)
        wanted.append(c['p'])
    most = 0
    for rank, i in enumerate(sorted(range(len(wanted)), key=lambda i: wanted[i])):
        most = max(most, min(1, wanted[i] * (len(wanted) - rank)))
        check(f'{title}: Holm', comparisons[i]['p_holm'], most)


def compare_drawn(work, path):
    rows = [json.loads(line) for line in open(path, encoding='utf-8')]
    arms = {name: drawn(rows, share, 4, seed)
            for name, share, seed in (('low', 0.3, 1), ('middle', 0.45, 2), ('high', 0.5, 3))}
    for name, answers in arms.items():
        work.put(name, answers, '--cases', path)
        compare_metrics(name, work.exported(name), answers)
    compare_arms('all cases', work.report(), arms)
    subsets = [(('theme:hedging',), ()), ((), ('axis:accuracy',)),
               (('theme:context_seeking',), ('axis:accuracy', 'axis:completeness')),
               (('theme:hedging', 'physician_agreed_category:no-uncertainty'), ())]
    for tags, criteria in subsets:
        more = [x for tag in tags for x in ('--tag', tag)]
        more += [x for tag in criteria for x in ('--criteria', tag)]
        part = {name: list(kept(answers, tags, criteria)) for name, answers in arms.items()}
        report = work.report(*more)
        for arm in report['tables'][0]['arms']:
            title = f'{arm["model"]} {tags} {criteria}'
            wanted = metrics_of(part[arm['model']])
            check(title, arm['score']['value'], clipped(numpy.mean(wanted['score'])))
            got = {tag['tag']: tag for tag in arm['tags']}
            for name, values in wanted.items():
                if name not in ('score', 'overall_score'):
                    check(f'{title}: {name}', got[name]['score']['value'],
                          clipped(numpy.mean(values)))
        compare_arms(f'{tags} {criteria}', report, part)
        # The same cut at the import gives the same scores.
        other = Work(work.slm)
        other.put('high', arms['high'], '--cases', path, *more)
        check('cut at the import', other.exported('high')['score'],
              clipped(numpy.mean(metrics_of(part['high'])['score'])))
    return len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--slm', default='build/slm')
    parser.add_argument('--judge-rows', required=True)
    parser.add_argument('--rows', required=True)
    arguments = parser.parse_args()
    answers = compare_recorded(Work(arguments.slm), arguments.judge_rows)
    rows = compare_drawn(Work(arguments.slm), arguments.rows)
    print(f'{answers} answers with recorded verdicts, {rows} rows with drawn ones: '
          f'{FAILED} differences; the largest deviation is {WORST:.1e}')
    sys.exit(1 if FAILED else 0)


if __name__ == '__main__':
    main()
