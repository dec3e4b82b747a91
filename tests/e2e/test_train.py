#!/usr/bin/env python3
"""slm train: a recipe from start to end, killed at random moments, stopped, and on a full disk."""
import json
import os
import random
import re
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_gguf  # noqa: E402
from harness import Suite, run, start  # noqa: E402
from training import metrics, read, same  # noqa: E402

TOPICS = ['a cough', 'sore knees', 'a fever', 'no sleep', 'a rash', 'one cold foot']


def examples(first, count):
    rows = ({'messages': [
        {'role': 'user', 'content': f'I have {TOPICS[i % 6]}, day {i}'},
        {'role': 'assistant', 'content': 'How long has it been so?'[:16 + i % 3 * 4]}]}
        for i in range(first, first + count))
    return ''.join(json.dumps(row) + '\n' for row in rows)


RECIPE = '''model: {model}
output: {output}
seed: 5
system: ""
lora: {{rank: 4, alpha: 8}}
sft:
  data: {data}
  dev: {dev}
  epochs: {epochs}
  batch: 4
  rows: 256
  max_tokens: 128
  rate: 5e-3
  save_steps: 3
  dev_steps: 5
'''


def recipe(suite, name, epochs=6, **changes):
    values = {'model': suite.path('tiny.gguf'), 'output': suite.path(name), 'epochs': epochs,
              'data': suite.path('data.jsonl'), 'dev': suite.path('dev.jsonl'), **changes}
    return suite.write(name + '.yaml', RECIPE.format(**values))


def words(suite):
    text = suite.succeeds('--help', 'train', '--help')
    suite.contains('--help tells of recipes and resuming', text, 'RECIPE.yaml', '--set', '--keys',
                   'the same command goes on', 'slm train recipes/')
    keys = suite.succeeds('--keys', 'train', '--keys')
    suite.contains('--keys tells every section', keys, 'lora:', 'sft:', 'max_tokens', 'rate',
                   '(default ')
    suite.contains('--keys as Markdown', suite.succeeds('--keys --format markdown', 'train', '--keys',
                                                        '--format', 'markdown'),
                   '## sft', '| `epochs` |')
    suite.fails('no recipe', 2, ['which recipe?', '--keys'], 'train')
    suite.fails('a recipe that is not there', 1, ['nowhere.yaml'], 'train', 'nowhere.yaml')
    bad = suite.write('bad.yaml', 'model: a.gguf\noutput: out\nsft:\n  data: d\n  epohcs: 2\n')
    suite.fails('an unknown key', 2, ['bad.yaml:5', 'did you mean epochs?'], 'train', bad)
    suite.fails('an unknown key of --set', 2, ['--set', 'did you mean epochs?'], 'train',
                recipe(suite, 'wrong'), '--set', 'sft.epohcs=2')
    suite.fails('a model that is not there', 1, ['model: cannot open absent.gguf', '--set model=MODEL'], 'train',
                recipe(suite, 'absent', model='absent.gguf'))
    suite.write('empty.jsonl', '')
    suite.fails('nothing to learn', 2, ['empty.jsonl', 'no example to learn from'], 'train',
                recipe(suite, 'empty', data=suite.path('empty.jsonl')))


def whole(suite):
    """An unbroken run; its folder."""
    text = suite.succeeds('a whole run', 'train', recipe(suite, 'whole'), '--json', '--quiet',
                          '--threads', '2')
    row = json.loads(text)
    suite.equal('its result names the stage and the folder', (row['stage'], row['folder']),
                ('sft', suite.path('whole/sft/best')))
    suite.check('development loss fell', row['dev_loss'] < row['first_dev_loss'], text)
    rows = metrics(suite.path('whole/sft'))
    suite.equal('a line for the start and each step', [line['step'] for line in rows],
                list(range(row['steps'] + 1)))
    again = suite.succeeds('a finished stage is not run again', 'train', recipe(suite, 'whole'),
                           '--json', '--quiet')
    suite.equal('and tells the same', json.loads(again), row)
    plain = suite.succeeds('the best adapter behind the base', 'chat',
                           suite.path('tiny.gguf') + '+' + suite.path('whole/sft/best'), '-p',
                           'I have a cough, day 1', '--temperature', '0', '--max-tokens', '8',
                           '--json', '--template', 'chatml', '--system', '', '--quiet')
    base = suite.succeeds('the base itself', 'chat', suite.path('tiny.gguf'), '-p',
                          'I have a cough, day 1', '--temperature', '0', '--max-tokens', '8', '--json',
                          '--template', 'chatml', '--system', '', '--quiet')
    suite.check('the adapter says what was learnt', 'How' in json.loads(plain)['text'], plain)
    suite.check('the base does not', 'How' not in json.loads(base)['text'], base)
    suite.equal('an adapter is named after its stage', json.loads(plain)['model'], 'tiny+sft')
    return suite.path('whole/sft')


def kills(suite):
    """kill -9 at 20 random moments, then to the end."""
    rng = random.Random(8)
    path = recipe(suite, 'killed', epochs=20)
    begin = time.monotonic()
    suite.succeeds('a run to compare with', 'train', recipe(suite, 'unbroken', epochs=20), '--quiet')
    lasts = time.monotonic() - begin
    killed = 0
    for attempt in range(20):
        process = start('train', path, '--quiet', '--threads', str(1 + attempt % 2))
        time.sleep(rng.uniform(0, 0.1 * lasts))  # also where the machine is idler by now
        killed += process.poll() is None
        process.kill()
        process.communicate()
    suite.check('most were killed before their end', killed >= 10, killed)
    suite.succeeds('the same command goes on', 'train', path, '--quiet')
    same(suite, 'as if never killed', suite.path('unbroken/sft'), suite.path('killed/sft'),
         'best/adapter_config.json')


def steps_done(folder):
    try:
        return len(read(os.path.join(folder, 'metrics.jsonl')).splitlines())
    except FileNotFoundError:
        return 0


def interrupt(suite):
    """Ctrl-C: what was done is saved, a message, status 1; the same command goes on."""
    long = recipe(suite, 'stopped', epochs=60)
    process = start('train', long)
    deadline = time.monotonic() + 60
    while steps_done(suite.path('stopped/sft')) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    suite.equal('Ctrl-C ends with 1', process.returncode, 1)
    suite.contains('and says that the same command goes on', err, 'stopped at step',
                   'the same command goes on')
    suite.equal('nothing on stdout', out, '')
    state = json.loads(read(suite.path('stopped/sft/last/state.json')))
    suite.equal('its last step is saved', state['step'] + 1, steps_done(suite.path('stopped/sft')))
    suite.succeeds('it goes on', 'train', long, '--quiet')
    suite.succeeds('a run that was not stopped', 'train', recipe(suite, 'straight', epochs=60),
                   '--quiet')
    same(suite, 'as if never stopped', suite.path('straight/sft'), suite.path('stopped/sft'),
         'best/adapter_config.json')


def budget(suite):
    path = recipe(suite, 'budget', epochs=60)
    done = run('train', path, '--set', 'time_budget_minutes=0.0005')
    suite.check('the time budget ends a stage, saved, and says so', done.returncode == 1
                and 'time budget' in done.stderr and 'the same command goes on' in done.stderr,
                done.stderr)
    suite.contains('before that, what it would take, and how much of it fits', done.stderr,
                   'sft: 360 steps: about', 'from the look at development examples',
                   'more than time_budget_minutes (0.0005) leaves: at most', 'of the 360 steps')
    done = run('train', path)
    suite.equal('without one it goes on to its end', done.returncode, 0)
    suite.check('and the first steps tell what is left of it', re.search(
        r'sft: 3\d\d steps left of 360: about .* if they go on like the first 3 \(.* each\), with '
        r'7\d looks', done.stderr), done.stderr)
    suite.check('no budget, no word of it', 'time_budget' not in done.stderr, done.stderr)
    same(suite, 'as if without', suite.path('straight/sft'), suite.path('budget/sft'),
         'best/adapter_config.json')


REPLAY = '''model: {model}
output: {output}
system: ""
sft:
  data: {data}
  dev_share: 0
  replay: {replay}
  replay_share: 0.25
  epochs: 1
  batch: 4
  rows: 512
  max_tokens: 512
'''
REQUESTS = 400


def requests(suite, name, first):
    rows = ({'messages': [{'role': 'user', 'content': f'I have a cough, day {i}'}]}
            for i in range(first, first + REQUESTS))
    return suite.write(name, ''.join(json.dumps(row) + '\n' for row in rows))


def replayed(folder):
    """What is replayed: pairs of a request's number and its answer."""
    rows = [json.loads(line)['messages'] for line in
            read(os.path.join(folder, 'replay.jsonl')).splitlines()]
    return [(int(row[0]['content'].split()[-1]), row[1]['content']) for row in rows]


def broken_off(path, answers, number):
    """The stage, ended by a signal when some of its answers are there, or many where it was quick."""
    process = start('train', path, '--threads', '1')
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not (
            os.path.exists(answers) and read(answers).count(b'\n') > REQUESTS // 20):
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err, read(answers).count(b'\n') - 1


def replay(suite):
    """The base's own answers, to the requests that the recipe names now, each asked once."""
    some = requests(suite, 'some.jsonl', 0)
    other = ('--set', 'sft.replay=' + requests(suite, 'other.jsonl', 500))

    def of(name):
        values = {'model': suite.path('tiny.gguf') + '+' + suite.path('whole/sft/best'),
                  'output': suite.path(name), 'data': suite.path('data.jsonl'), 'replay': some}
        return suite.write(name + '.yaml', REPLAY.format(**values))

    done = run('train', of('replayed'))
    suite.check('a stage with replay', done.returncode == 0, done.stderr)
    suite.check('tells what was answered, and mixes a share of it in',
                re.search(r'replay: \d+ of 400 requests answered', done.stderr)
                and '32 examples' in done.stderr, done.stderr)
    suite.contains('without development examples it tells its time too', done.stderr,
                   "sft: 8 steps: about", "from the first step's examples")
    whole = suite.path('replayed/sft')
    pairs = replayed(whole)
    suite.check('answers in the order of the requests', pairs and pairs == sorted(pairs)
                and all(number < REQUESTS and answer for number, answer in pairs), pairs)
    done = run('train', of('replayed'))
    suite.check('what is finished asks nothing', done.returncode == 0 and ' answers' not in done.stderr
                and 'again' not in done.stderr, done.stderr)
    suite.fails('it is not gone on with on other requests', 2,
                ['answers.jsonl', 'was begun with', 'choose another output'],
                'train', of('replayed'), '--quiet', *other)
    suite.equal('and its answers stay', replayed(whole), pairs)

    code, _, kept = broken_off(of('torn'), suite.path('torn/sft/answers.jsonl'), signal.SIGKILL)
    suite.check('killed among its answers', code == -signal.SIGKILL and 0 < kept < REQUESTS,
                f'{code}, {kept} answers')
    done = run('train', of('torn'))
    suite.contains('it goes on with the next', done.stderr, f'replay goes on from answer {kept} of 400')
    same(suite, 'as if never killed', whole, suite.path('torn/sft'), 'replay.jsonl')

    code, err, kept = broken_off(of('stale'), suite.path('stale/sft/answers.jsonl'), signal.SIGINT)
    suite.check('Ctrl-C among the answers', code == 1 and 0 < kept < REQUESTS
                and f'stopped at answer {kept} of 400' in err and 'the same command goes on' in err,
                f'{code}, {kept} answers\n{err}')
    done = run('train', of('stale'), *other)
    suite.check('other requests are asked anew, and it says so', done.returncode == 0
                and 'asking again' in done.stderr, done.stderr)
    pairs = replayed(suite.path('stale/sft'))
    suite.check('and they alone are replayed', pairs and all(
        number >= 500 for number, _ in pairs), pairs)


def full_disk(suite, unbroken):
    """A file that cannot grow: an error, and the last good checkpoint stays."""
    path = recipe(suite, 'full')
    stopped = run('train', path, '--quiet', '--set', 'time_budget_minutes=0.000001')
    suite.equal('a first part', stopped.returncode, 1)
    folder = suite.path('full/sft')
    before = {name: read(os.path.join(folder, 'last', name))
              for name in sorted(os.listdir(os.path.join(folder, 'last')))}
    size = len(before['optimiser.safetensors'])

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, size - 100))

    process = start('train', path, preexec_fn=limit)
    _, err = process.communicate(timeout=120)
    suite.equal('a full disk ends it with 1', process.returncode, 1)
    suite.contains('and says what could not be written', err, 'slm: error: ', 'optimiser.safetensors')
    after = {name: read(os.path.join(folder, 'last', name))
             for name in sorted(os.listdir(os.path.join(folder, 'last')))}
    suite.check('the last good checkpoint is as it was', before == after)
    suite.check('nothing half written stays', not os.path.exists(os.path.join(folder, 'last.new')))

    def tight():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))

    process = start('train', path, preexec_fn=tight)
    _, err = process.communicate(timeout=120)
    suite.check('so does a log that cannot grow', process.returncode == 1 and 'slm: error: ' in err
                and full_message(err), err)
    suite.succeeds('with room again it goes on', 'train', path, '--quiet')
    same(suite, 'as if there had been room', unbroken, folder,
         'best/adapter_config.json')


def full_message(err):
    return 'metrics.jsonl' in err or 'events.out' in err or 'safetensors' in err


def main():
    with Suite() as suite:
        tiny_gguf.write(suite.path('tiny.gguf'))
        suite.write('data.jsonl', examples(0, 24))
        suite.write('dev.jsonl', examples(24, 4))
        words(suite)
        unbroken = whole(suite)
        kills(suite)
        interrupt(suite)
        budget(suite)
        replay(suite)
        full_disk(suite, unbroken)
    suite.finish()


if __name__ == '__main__':
    main()
