#!/usr/bin/env python3
"""slm about itself: help, version, manual page, completion; wrong use and how it is told."""
import os
import re
import shutil
import subprocess

from harness import SLM, Suite, run

COMMANDS = ['pull', 'info', 'tokenize', 'chat', 'eval', 'eval import', 'eval export', 'report', 'cost',
            'perplexity', 'bench', 'help', 'version', 'man', 'completion']


def complete(script, *words):
    """What bash offers for the last of these words."""
    quoted = ' '.join(f"'{word}'" for word in words)
    program = (f'source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _slm; '
               'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(['bash', '-c', program], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, encoding='utf-8', check=False)
    return done.stdout.split()


def help_texts(suite):
    overview = suite.succeeds('slm --help', '--help')
    suite.contains('it lists the commands', overview, *(f'\n  {name} ' for name in COMMANDS))
    suite.contains('it has an example', overview, 'Example')
    suite.contains('it says what a MODEL is', overview, 'Hugging Face folder', '+DIR', 'openai:', 'recorded:FILE')
    suite.equal('slm help is the same', run('help').stdout, overview)
    done = run()
    suite.check('slm alone shows it on stderr and ends with 2',
                done.returncode == 2 and done.stdout == '' and done.stderr == overview, done)
    version = suite.succeeds('slm --version', '--version')
    suite.check('a version', re.fullmatch(r'slm \d+\.\d+\.\d+\n', version), version)
    suite.equal('slm version is the same', run('version').stdout, version)
    for name in COMMANDS:
        text = suite.succeeds(f'slm {name} --help', *name.split(), '--help')
        suite.check(f'slm {name} --help has usage, example and ways to be quiet',
                    text.startswith(f'Usage: slm {name}') and '\nExample\n  # ' in text
                    and '--quiet' in text and '--help' in text, text)
        suite.check(f'slm {name} --help fits 80 columns',
                    all(len(line) <= 80 for line in text.split('\nExample')[0].splitlines()), text)
        suite.equal(f'slm help {name} is the same', run('help', *name.split()).stdout, text)


def recipe_reference(suite):
    path = os.path.join(os.path.dirname(__file__), '..', '..', 'docs', 'recipe.md')
    keys = suite.succeeds('slm train --keys', 'train', '--keys', '--format', 'markdown')
    with open(path, encoding='utf-8') as page:
        suite.check('docs/recipe.md is what slm train --keys prints', page.read().endswith(keys),
                    'slm train --keys --format markdown, below the first paragraph')


def wrong_use(suite):
    suite.fails('an unknown command', 2, ['evl', 'did you mean "eval"'], 'evl')
    suite.fails('an unknown command far from all', 2, ['xyzzy', '--help'], 'xyzzy')
    suite.fails('an unknown option', 2, ['--temprature', '--temperature'], 'chat', 'm.gguf',
                '--temprature', '0')
    suite.fails('a value out of bounds', 2, ['--temperature', '-1'], 'chat', 'm.gguf',
                '--temperature', '-1')
    suite.fails('a value that is no number', 2, ['--max-tokens', 'many'], 'chat', 'm.gguf',
                '--max-tokens', 'many')
    suite.fails('a choice that there is not', 2, ['--dtype', 'bf16', 'fp8'], 'chat', 'm.gguf',
                '--dtype', 'fp8')
    suite.fails('an argument too few', 2, ['slm info MODEL'], 'info')
    suite.fails('an argument too many', 2, ['slm info'], 'info', 'a', 'b')
    suite.fails('arguments where there are none', 2, ['takes no arguments, not 1; use it like this: slm version\n'],
                'version', 'x')
    suite.fails('the manual of one command', 2, ['takes no arguments', 'slm help eval import tells'], 'man', 'eval',
                'import')
    suite.fails('the manual of none', 2, ['slm help COMMAND tells'], 'man', 'xyzzy')
    suite.fails('an option without its value', 2, ['--db'], 'report', '--db')
    suite.fails('no cases', 2, ['--cases'], 'eval', 'm.gguf')
    suite.fails('more names than models', 2, ['--name'], 'eval', 'm.gguf', '--cases', 'c.jsonl',
                '--name', 'a', '--name', 'b')
    suite.fails('--json without -p', 2, ['-p'], 'chat', 'm.gguf', '--json')
    suite.fails('--csv and --json', 2, ['--csv', '--json'], 'report', '--csv', 'scores', '--json')
    suite.fails('a top-p of 0', 2, ['top'], 'chat', 'm.gguf', '--top-p', '0')
    suite.fails('completion for another shell', 2, ['fish', 'bash', 'zsh'], 'completion', 'fish')
    with open('/dev/full', 'w', encoding='utf-8') as full:
        done = subprocess.run([SLM, '--help'], stdout=full, stderr=subprocess.PIPE,
                              encoding='utf-8', check=False)
    suite.check('a full disk is told', done.returncode == 1 and 'stdout' in done.stderr, done)


def manual(suite):
    page = suite.succeeds('slm man', 'man')
    suite.contains('it has every command', page,
                   *(f'.B slm {name}' for name in COMMANDS))
    plain = page.replace('\\-', '-')
    options = set(re.findall(r'^  (?:-\w, |    )--(?:\[no-\])?([\w-]+)',
                             run('eval', '--help').stdout, re.MULTILINE))
    suite.check('eval has options', len(options) > 20, options)
    suite.contains('it has every option of eval', plain, *options)
    if shutil.which('groff'):
        done = subprocess.run(['groff', '-man', '-ww', '-Tutf8', '-z'], input=page,
                              stderr=subprocess.PIPE, encoding='utf-8', check=False)
        suite.equal('groff has no complaint', (done.returncode, done.stderr), (0, ''))
    else:
        suite.skip('groff has no complaint', 'groff is not installed')


def completion(suite):
    script = suite.write('slm.bash', suite.succeeds('slm completion bash', 'completion', 'bash'))
    done = subprocess.run(['bash', '-n', script], stderr=subprocess.PIPE, check=False)
    suite.check('bash can read it', done.returncode == 0, done.stderr)
    suite.equal('a command', complete(script, 'slm', 'rep'), ['report'])
    suite.equal('a command of two words', complete(script, 'slm', 'eval', 'imp'), ['import'])
    suite.equal('an option', complete(script, 'slm', 'chat', 'm', '--repet'),
                ['--repetition-penalty'])
    suite.equal('a choice', complete(script, 'slm', 'chat', 'm', '--dtype', 'f'), ['f32'])
    suite.equal('an option of a command of two words',
                complete(script, 'slm', 'eval', 'export', '--out'), ['--output'])
    suite.equal('which has not those of its first word',
                complete(script, 'slm', 'eval', 'export', '--cas'), [])
    suite.equal('the first of two words', complete(script, 'slm', 'dat'), ['data'])
    suite.equal('a command to be helped with', complete(script, 'slm', 'help', 'e'), ['eval', 'export'])
    suite.equal('of two words', complete(script, 'slm', 'help', 'eval', 'ex'), ['export'])
    suite.equal('a shell', complete(script, 'slm', 'completion', ''), ['bash', 'zsh'])
    suite.equal('a section\'s settings', complete(script, 'slm', 'train', 'r.yaml', '--set', 'lora.rank'),
                ['lora.rank=', 'lora.rank_stabilised='])
    keys = run('train', '--keys').stdout
    suite.equal('every setting', len(complete(script, 'slm', 'train', '--set', '')),
                len(re.findall('^  ', keys, re.MULTILINE)))
    suite.equal('a choice of report', complete(script, 'slm', 'report', '--csv', 'w'),
                ['worst-at-k'])
    script = suite.write('_slm', suite.succeeds('slm completion zsh', 'completion', 'zsh'))
    if shutil.which('zsh'):
        done = subprocess.run(['zsh', '-n', script], stderr=subprocess.PIPE, check=False)
        suite.check('zsh can read it', done.returncode == 0, done.stderr)
    else:
        suite.skip('zsh can read it', 'zsh is not installed')


def main():
    os.environ.pop('NO_COLOR', None)
    with Suite() as suite:
        help_texts(suite)
        recipe_reference(suite)
        wrong_use(suite)
        manual(suite)
        completion(suite)
        suite.finish()


if __name__ == '__main__':
    main()
