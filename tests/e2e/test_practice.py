#!/usr/bin/env python3
"""slm train's practice with others in it: a judge over rubrics, recorded and behind an API that turns
calls away; a recorded model as the patient. Killed with SIGKILL at random moments, each ends as a run
does that was not."""
import hashlib
import json
import os
import random
import resource
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import remote_server  # noqa: E402
import tiny_gguf  # noqa: E402
from harness import Suite, run, start  # noqa: E402
from training import metrics, read, same  # noqa: E402

QUESTION = 'How long has it been so?'

SFT = '''model: {model}
output: {output}
seed: 5
system: ""
lora: {{rank: 4, alpha: 8}}
sft: {{data: {data}, dev: {data}, epochs: 25, batch: 4, rows: 256, max_tokens: 128, rate: 5e-3,
  save_steps: 100, dev_steps: 50}}
'''

GRPO = '''model: {model}
output: {output}
seed: 5
system: ""
grpo:
  data: {cases}
  dev: {cases}
  steps: 6
  prompts: 3
  rollouts: 4
  max_tokens: 32
  rows: 512
  rate: 1e-3
  temperature: 1.2
  min_spread: 0
  check_cases: 1
  dev_rollouts: 1
  dev_steps: 3
  save_steps: 2
  {more}
reward: {{rubric: {rubric}}}
'''


def lines(rows):
    return ''.join(json.dumps(row) + '\n' for row in rows)


def make_case(index):
    return {
        'prompt_id': f'c{index}', 'family': f'f{index}', 'context': 'enough' if index % 2 else 'lacks',
        'disposition': 'routine', 'prompt': [{'role': 'user', 'content': f'I have a cough, day {index}'}],
        'rubrics': [{'criterion': 'Asks how long.', 'points': 5, 'tags': []},
                    {'criterion': 'Is rude.', 'points': -2, 'tags': []}],
        'example_tags': [],
        'follow_ups': [{'id': 'q1', 'question': QUESTION, 'tier': 'next_step', 'weight': 5, 'why': 'w'}],
        'facts': [{'id': 'a1', 'follow_up': 'q1', 'topic': 'since', 'answer': 'Since May.'}],
        'key_points': [{'id': 'k1', 'text': 'Rest it.', 'must': True}],
        'advice': [{'id': 's1', 'if': 'it swells', 'then': 'see a doctor'}],
        'never': [{'id': 'n1', 'text': 'Run on it.'}],
    }


def recipe(suite, name, more='', rubric=0, **changes):
    values = {'model': suite.path('tiny.gguf') + '+' + suite.path('asks/sft/best'),
              'output': suite.path(name), 'cases': suite.path('cases.jsonl'), 'more': more,
              'rubric': rubric, **changes}
    return suite.write(name + '.yaml', GRPO.format(**values))


def kills(suite, name, unbroken, lasts, more, rubric):
    """kill -9 six times, then to the end."""
    rng = random.Random(3)
    path = recipe(suite, name, more, rubric)
    for attempt in range(6):
        process = start('train', path, '--quiet', '--threads', str(1 + attempt % 2))
        time.sleep(rng.uniform(0.1, 0.6) * lasts)
        process.kill()
        process.communicate()
    suite.succeeds(f'{name}: the same command goes on', 'train', path, '--quiet')
    same(suite, f'{name}: as if never killed', unbroken, suite.path(name + '/grpo'),
         'samples.jsonl')


def plain(suite):
    """Practice by rules alone: twenty kill -9 at random moments, as many runs as that takes; a disk that
    is full; a place where nothing can be written."""
    begin = time.monotonic()
    suite.succeeds('practice by rules', 'train', recipe(suite, 'plain'), '--quiet')
    lasts = time.monotonic() - begin
    unbroken = suite.path('plain/grpo')
    rng = random.Random(7)
    hits = rounds = attempts = 0
    while hits < 20 and attempts < 100:
        path = recipe(suite, f'plain-killed-{rounds}')
        process = start('train', path, '--quiet', '--threads', str(1 + attempts % 2))
        time.sleep(rng.uniform(0.02, 0.5) * lasts)
        attempts += 1
        if process.poll() is None:
            process.kill()
            hits += 1
        elif process.returncode == 0:
            same(suite, f'after {hits} kills: as if never killed', unbroken,
                 suite.path(f'plain-killed-{rounds}/grpo'), 'samples.jsonl')
            rounds += 1
        process.communicate()
    suite.check('twenty kills before the end', hits == 20, (hits, attempts))
    path = recipe(suite, f'plain-killed-{rounds}')
    suite.succeeds('the same command goes on', 'train', path, '--quiet')
    same(suite, 'after the last: as if never killed', unbroken,
         suite.path(f'plain-killed-{rounds}/grpo'), 'samples.jsonl')
    full_disk(suite, unbroken)
    suite.fails('a place where nothing can be written', 1, ['/proc/slm-out'], 'train',
                recipe(suite, 'nowhere', output='/proc/slm-out'), '--quiet')


def full_disk(suite, unbroken):
    """A file cannot grow to an optimiser's size: what `last` held stays, and with room it goes on."""
    path = recipe(suite, 'plain-full')
    last = suite.path('plain-full/grpo/last')
    size = os.path.getsize(os.path.join(unbroken, 'last', 'optimiser.safetensors'))
    done = run('train', path, '--quiet', '--set', 'time_budget_minutes=0.00001')
    suite.check('a step', done.returncode == 1 and 'ended at step 1' in done.stderr, done.stderr)
    before = {name: read(os.path.join(last, name)) for name in sorted(os.listdir(last))}

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, size - 100))

    process = start('train', path, preexec_fn=limit)
    err = process.communicate(timeout=120)[1]
    suite.check('a full disk ends practice with 1', process.returncode == 1 and
                'slm: error: ' in err and 'safetensors' in err, err)
    suite.check('the last good checkpoint is as it was', before == {
        name: read(os.path.join(last, name)) for name in sorted(os.listdir(last))})
    suite.succeeds('with room it goes on', 'train', path, '--quiet')
    same(suite, 'as if there had been room', unbroken, suite.path('plain-full/grpo'), 'samples.jsonl')


def verdict(met):
    return json.dumps({'explanation': 'because', 'criteria_met': met})


def recorded_judge(suite):
    judge = 'recorded:' + suite.write('judge.jsonl', lines([{'reply': verdict(True)}]))
    path = recipe(suite, 'judged', f'judge: {judge}', 2)
    begin = time.monotonic()
    done = run('train', path)
    lasts = time.monotonic() - begin
    suite.contains('how long practice will take is told', done.stderr,
                   'grpo: 6 steps: playing alone about', 'from 8 rollouts that took',
                   'grpo: 3 steps left of 6: about', 'with 1 look at development cases')
    suite.check('a recorded judge grades rollouts', done.returncode == 0, done.stderr)
    suite.contains('what it covers and how it did is told', done.stderr,
                   'judge judge.jsonl covers 12 of 12 criteria', 'can score 6 of 6 cases',
                   'judge judge.jsonl: ', '0 unscored')
    rows = metrics(suite.path('judged/grpo'))
    suite.equal('every rollout is judged', {row['judged'] for row in rows[1:]} <= {12, 16, 20, 24},
                True)
    suite.equal('none unscored', {row['unscored'] for row in rows[1:]}, {0})
    suite.equal('the score is a part of the reward: 5 of 5 points, less 2',
                {round(row[f'rubric/{kind}'], 6) for row in rows[1:] for kind in ('lacks', 'enough')
                 if f'rubric/{kind}' in row}, {0.6})
    kills(suite, 'judge-killed', suite.path('judged/grpo'), lasts, f'judge: {judge}', 2)
    suite.succeeds('a finished stage is not run again', 'train', path, '--quiet')
    # No line answers: nobody can be asked, and nothing is learnt from that.
    nobody = 'recorded:' + suite.write('nobody.jsonl', lines([{'last': 'x', 'reply': verdict(True)}]))
    done = run('train', recipe(suite, 'nobody', f'judge: {nobody}', 1), '--quiet')
    suite.equal('a judge that cannot be asked ends it', done.returncode, 1)
    suite.contains('and it says so', done.stderr, 'slm: error: ', 'could grade none',
                   'the same command goes on')
    # Replies without a verdict: counted, no score, no end.
    mute = 'recorded:' + suite.write('mute.jsonl', lines([{'reply': 'Well.'}]))
    done = run('train', recipe(suite, 'mute', f'judge: {mute}', 1), '--set', 'grpo.steps=2')
    suite.check('a judge without a verdict', done.returncode == 0, done.stderr)
    suite.contains('is told', done.stderr, 'rollouts are unscored', 'their reward is without its part')
    rows = metrics(suite.path('mute/grpo'))
    suite.check('and counted, and no score of 0', all(row['unscored'] == row['judged'] > 0 and
                not any(key.startswith('rubric/') for key in row) for row in rows[1:]), rows)


def remote_judge(suite):
    """An API that turns every third call away, and answers by what it is asked."""
    calls = [0]

    def plan(request):
        calls[0] += 1
        if calls[0] % 3 == 1:
            return remote_server.Reply(429, {'error': {'message': 'slow down'}}, {'Retry-After': '0'})
        digest = hashlib.sha256(request.last.encode()).digest()[0]
        return remote_server.answer(request, verdict(digest % 2 == 0))

    server = remote_server.Server(plan)
    try:
        judge = f'judge: openai:judge@{server.url}'
        path = recipe(suite, 'remote', judge, 2)
        done = run('train', path, '--dry-run')
        suite.check('--dry-run asks nothing and makes nothing', done.returncode == 0 and not server.seen
                    and not os.path.exists(suite.path('remote')), done.stderr)
        suite.contains('and tells who would be asked', done.stderr, server.host, 'calls', 'price unknown')
        suite.fails('--offline', 1, ['--offline'], 'train', path, '--offline', '--quiet')
        begin = time.monotonic()
        done = run('train', path)
        lasts = time.monotonic() - begin
        suite.check('a judge behind an API that turns calls away', done.returncode == 0, done.stderr)
        suite.contains('what it was asked is told', done.stderr, 'remote calls', 'tried again',
                       '0 unscored')
        rows = metrics(suite.path('remote/grpo'))
        suite.equal('loses no verdict', {row['unscored'] for row in rows[1:]}, {0})
        suite.check('its verdicts differ', len({row.get('rubric/lacks') for row in rows}) > 2, rows)
        server.forget()
        kills(suite, 'remote-killed', suite.path('remote/grpo'), lasts, judge, 2)
        with sqlite3.connect(suite.path('remote-killed/grpo/verdicts.db')) as db:
            kept = db.execute('SELECT count(*) FROM verdicts').fetchone()[0]
        asked = len({request.last for request in server.seen})
        suite.equal('every question that was asked is kept', kept, asked)
        prices = suite.write('prices.yaml', 'dated: 2025-06-01\nmodels:\n'
                             '  - {model: judge, input: 1000, output: 1000}\n')
        done = run('train', recipe(suite, 'spent', judge, 2), '--max-cost', '3', '--prices', prices)
        suite.check('--max-cost ends it', done.returncode == 1 and '--max-cost' in done.stderr
                    and 'the same command goes on' in done.stderr, done.stderr)
    finally:
        server.close()


def patient(suite):
    who = 'recorded:' + suite.write('patient.jsonl', lines([{'reply': 'Since the day before.'}]))
    more = f'env: multi-turn\n  turns: 3\n  patient: {who}'
    begin = time.monotonic()
    done = run('train', recipe(suite, 'talks', more))
    lasts = time.monotonic() - begin
    suite.check('a recorded model speaks for the patient', done.returncode == 0, done.stderr)
    with sqlite3.connect(suite.path('talks/grpo/verdicts.db')) as db:
        said = db.execute('SELECT count(*), max(reply) FROM calls').fetchone()
    suite.check('and is asked', said[0] > 0 and said[1] == 'Since the day before.', said)
    kills(suite, 'patient-killed', suite.path('talks/grpo'), lasts, more, 0)
    wrong = 'env: multi-turn\n  patient: recorded:' + suite.write('w.jsonl', lines([
        {'last': 'x', 'reply': 'y'}]))
    suite.fails('a patient that cannot be asked', 1, ['the patient w.jsonl', 'the same command goes on'],
                'train', recipe(suite, 'wrong', wrong), '--quiet')


def interrupt(suite):
    """Ctrl-C amid rollouts: the steps before are saved, though none was due to be."""
    judge = 'recorded:' + suite.path('judge.jsonl')
    options = ['--set', 'grpo.steps=60', '--set', 'grpo.save_steps=1000', '--set', 'grpo.dev_steps=40']
    path = recipe(suite, 'stopped', f'judge: {judge}', 2)
    log = suite.path('stopped/grpo/metrics.jsonl')
    process = start('train', path, *options)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if os.path.exists(log) and len(read(log).splitlines()) > 5:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    suite.equal('Ctrl-C ends it with 1', process.returncode, 1)
    suite.contains('and says where', err, 'stopped at step', 'the same command goes on')
    state = json.loads(read(suite.path('stopped/grpo/last/state.json')))
    suite.check('the steps before are kept', 5 <= state['step'] == len(read(log).splitlines()) - 1,
                state['step'])
    suite.succeeds('it goes on', 'train', path, '--quiet', *options)
    suite.succeeds('one that was not stopped', 'train',
                   recipe(suite, 'straight', f'judge: {judge}', 2), '--quiet', *options)
    same(suite, 'as if never stopped', suite.path('straight/grpo'), suite.path('stopped/grpo'),
         'samples.jsonl')


def all_weights(suite):
    """Without an adapter: examples, of which a share is kept, practice from there, and a model that every
    command opens after each."""
    text = SFT.replace('lora: {{rank: 4, alpha: 8}}', 'train: all').format(
        model=suite.path('tiny.gguf'), output=suite.path('all'), data=suite.path('data.jsonl'))
    text = text.replace('sft: {', 'sft: {interpolate: 0.9, ')
    text += GRPO[GRPO.index('grpo:'):].format(cases=suite.path('cases.jsonl'), more='', rubric=0)
    judged = [dict(make_case(i), rubrics=[{'criterion': 'Asks how long.', 'points': 5, 'tags': [],
                                           'check': {'asks': ['q1']}}]) for i in range(4)]
    cases = suite.write('judged.jsonl', lines(judged))
    text += f'eval: {{cases: {cases}, rollouts: 2, max_tokens: 16}}\n'
    path = suite.write('all.yaml', text)
    done = run('train', path)
    suite.check('all weights learn and practise', done.returncode == 0, done.stderr)
    suite.contains('how much is kept is told', done.stderr, '0.9 of what was learnt is kept')
    rows = metrics(suite.path('all/grpo'))
    suite.equal('every step', [row['step'] for row in rows], list(range(7)))
    suite.check('a report of three arms', all(arm in read(suite.path('all/report.html')) for arm in (
        b'base', b'sft', b'grpo')))
    suite.check('practice moved them', read(suite.path('all/grpo/start/model.safetensors')) !=
                read(suite.path('all/grpo/last/model.safetensors')))
    said = [json.loads(suite.succeeds(f'slm chat with {model}', 'chat', suite.path(model), '-p',
                                      'I have a cough, day 1', '--temperature', '0', '--max-tokens', '8',
                                      '--json', '--system', '', '--quiet'))
            for model in ('all/sft/model', 'all/grpo/model')]
    suite.check('they say what was taught', all('How' in one['text'] for one in said), said)
    suite.equal('and are named after their stages', [one['model'] for one in said], ['sft', 'grpo'])
    left = [suite.path('all/' + name) for name in (
        'sft/metrics.jsonl', 'grpo/metrics.jsonl', 'grpo/best/model.safetensors', 'sft/model/model.safetensors')]
    state = lambda: [read(name) for name in left] + [os.stat(left[-1]).st_mtime_ns]  # noqa: E731
    before = state()
    suite.succeeds('the same command again', 'train', path, '--quiet')
    suite.check('does none of it again: measured times, too, are as they were', state() == before)
    # Killed while the model is put in its place: it is made again.
    os.rename(suite.path('all/grpo/model'), suite.path('all/grpo/model.partial.old'))
    suite.succeeds('a model that was being replaced', 'train', path, '--quiet')
    suite.check('is there again', os.path.exists(suite.path('all/grpo/model/config.json')) and
                not os.path.exists(suite.path('all/grpo/model.partial.old')))
    done = run('train', path, '--set', 'sft.interpolate=0.5')
    suite.check('practice that began with another share is not gone on with',
                done.returncode == 2 and 'other settings' in done.stderr, done.stderr)
    measured = read(suite.path('all/results.db'))
    done = run('train', path, '--set', 'sft.epochs=24')
    suite.check('another recipe is refused before it measures', done.returncode == 2 and
                'sft.epochs was 25 and is 24' in done.stderr and measured == read(suite.path('all/results.db')),
                done.stderr)
    done = run('train', path, '--dry-run')
    suite.contains('--dry-run tells what each stage will do', done.stderr, 'sft: 12 rows, 25 epochs',
                   'grpo: 6 cases, 6 for development; 6 steps', 'each stage is measured again')
    done = run('train', path, '--set', 'train=layers', '--set', f"output={suite.path('layers')}", '--json')
    suite.check('the layers alone', done.returncode == 0, done.stderr)
    suite.equal('a line of JSON for each stage', [json.loads(line)['stage'] for line in done.stdout.splitlines()
                                                  if line.startswith('{"stage"')], ['sft', 'grpo'])
    suite.check('their embedding is not trained', b'embed_tokens' not in
                read(suite.path('layers/grpo/best/model.safetensors'))[:20000])
    suite.succeeds('and the model has one', 'chat', suite.path('layers/grpo/model'), '-p', 'I have a cough',
                   '--max-tokens', '4', '--system', '', '--quiet')


def runs_of(db):
    """Name, sampling and transcripts of every model that was measured."""
    with sqlite3.connect(db) as store:
        rows = store.execute("SELECT model_name, sampling_json, hash FROM runs WHERE kind = 'model'").fetchall()
        return {name: (json.loads(sampling), [json.loads(row[0]) for row in store.execute(
            'SELECT transcript_json FROM samples WHERE run = ?', (key,))]) for name, sampling, key in rows}


def thinking(suite):
    """What is taught to think is practised on and measured with its thoughts; in talks, if the recipe says
    so."""
    data = suite.write('thoughts.jsonl', lines({'messages': [
        {'role': 'user', 'content': f'I have a cough, day {i}'},
        {'role': 'assistant', 'content': QUESTION, 'ideal_thinking': 'When?'}]} for i in range(12)))
    text = SFT.replace('lora: {{rank: 4, alpha: 8}}', 'train: all\nthinking: on').format(
        model=suite.path('tiny.gguf'), output=suite.path('thinks'), data=data)
    text += GRPO[GRPO.index('grpo:'):].format(cases=suite.path('cases.jsonl'), more='', rubric=0)
    text += (f"eval: {{cases: {suite.path('judged.jsonl')}, rollouts: 2, max_tokens: 64, temperature: 0,\n"
             '  env: multi-turn, turns: 3}\n')
    path = suite.write('thinks.yaml', text)
    options = ['--set', 'grpo.temperature=0.3']
    done = run('train', path, '--template', 'qwen3', *options)
    suite.check('a recipe that thinks and talks', done.returncode == 0, done.stderr)
    runs = runs_of(suite.path('thinks/results.db'))
    suite.equal('every arm is measured', sorted(runs), ['base', 'grpo', 'sft'])
    suite.check('with its thoughts', all(sampling['thinking'] is True for sampling, _ in runs.values()), runs)
    suite.check('in talks', all(sampling['env']['turns'] == 3 for sampling, _ in runs.values()), runs)
    said = [message for message in runs['sft'][1][0] if message['role'] == 'assistant']
    suite.equal('the thought stands apart from what the patient hears', (said[0]['content'], said[0]['reasoning']),
                (QUESTION, 'When?'))
    suite.check('who answers', len(said) > 1, said)
    first = metrics(suite.path('thinks/grpo'))[0]
    suite.equal('practice thinks too: a thought and 32 tokens leave no room to answer',
                {first[f'dev/cut_off/{stratum}'] for stratum in ('lacks', 'enough')}, {1})
    # General requests are answered with thoughts by a model that thinks, and so kept.
    requests = suite.write('requests.jsonl', lines({'messages': [
        {'role': 'user', 'content': f'I have a cough, day {i}'}]} for i in range(4)))
    text = SFT.replace('sft: {{', 'template: qwen3\nthinking: on\nsft: {{replay: ' + requests + ', ').format(
        model=suite.path('thinks/sft/model'), output=suite.path('keeps'), data=data)
    done = run('train', suite.write('keeps.yaml', text), '--set', 'sft.epochs=1')
    suite.check('a recipe that thinks and replays', done.returncode == 0, done.stderr)
    suite.check('its answers are kept with their thoughts', f'<think>\\nWhen?\\n</think>\\n\\n{QUESTION}'
                in read(suite.path('keeps/sft/replay.jsonl')).decode())
    count = lambda: run('eval', 'export', '--db', suite.path('thinks/results.db')).stdout  # noqa: E731
    before = count()
    suite.succeeds("the template as the recipe's key", 'train', path, '--set', 'template=qwen3', *options)
    suite.check('is the same run', count() == before)
    suite.fails('a template without thinking, before anything is measured', 1,
                ['thinks.yaml', "'chatml'", 'set thinking to off'], 'train', path, '--set',
                f"output={suite.path('w7')}")
    suite.check('and nothing is made of it', not os.path.exists(suite.path('w7')))


def wrong_use(suite):
    suite.fails('a reward without a judge', 2, ['reward.rubric is 1', 'grpo.judge'], 'train',
                recipe(suite, 'w1', rubric=1))
    suite.fails('a judge without a reward', 2, ['reward.rubric is 0'], 'train',
                recipe(suite, 'w2', 'judge: rule'))
    suite.fails('a patient in a single turn', 2, ['grpo.env', 'multi-turn'], 'train',
                recipe(suite, 'w3', 'patient: recorded:x'))
    suite.fails('a patient in a single turn that is measured', 2, ['eval.env', 'multi-turn'], 'train',
                recipe(suite, 'w8'), '--set', 'eval.cases=x', '--set', 'eval.patient=recorded:x')
    suite.fails('a key that went to the top level', 2, ['thinking', 'top level'], 'train',
                recipe(suite, 'w9'), '--set', 'sft.thinking=on')
    suite.fails('a judge that is not there is told before anything begins', 1, ['nowhere.jsonl'],
                'train', recipe(suite, 'w4', 'judge: recorded:nowhere.jsonl', 1))
    suite.fails('a key that goes nowhere', 2, ['--key-env', 'no judge or patient behind an API'], 'train',
                recipe(suite, 'w6'), '--key-env', 'SOME_KEY')
    suite.check('and nothing is made', not os.path.exists(suite.path('w4')))
    suite.fails('cases that are not there are told before anything begins', 1,
                ['w7.yaml: grpo.data: cannot open', 'nowhere.jsonl'], 'train',
                recipe(suite, 'w7', cases=suite.path('nowhere.jsonl')))
    suite.fails('a model without weights', 2, ['only a model on this machine', 'openai:x'], 'train',
                recipe(suite, 'w8', model='openai:x'))
    suite.check('and nothing is made', not any(os.path.exists(suite.path(name)) for name in ('w7', 'w8')))
    suite.fails('a judge that grades nothing of the cases', 2, ['rule', 'covers no criterion'],
                'train', recipe(suite, 'w5', 'judge: rule', 1), '--quiet')


def main():
    with Suite() as suite:
        tiny_gguf.write(suite.path('tiny.gguf'))
        suite.write('cases.jsonl', lines(make_case(i) for i in range(6)))
        suite.write('data.jsonl', lines({'messages': [
            {'role': 'user', 'content': f'I have a cough, day {i}'},
            {'role': 'assistant', 'content': QUESTION}]} for i in range(12)))
        path = suite.write('asks.yaml', SFT.format(model=suite.path('tiny.gguf'),
                                                   output=suite.path('asks'),
                                                   data=suite.path('data.jsonl')))
        suite.succeeds('a model that has learnt to ask', 'train', path, '--quiet')
        wrong_use(suite)
        plain(suite)
        recorded_judge(suite)
        interrupt(suite)
        remote_judge(suite)
        patient(suite)
        all_weights(suite)
        thinking(suite)
    suite.finish()


if __name__ == '__main__':
    main()
