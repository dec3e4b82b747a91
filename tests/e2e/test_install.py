#!/usr/bin/env python3
"""make install and uninstall, into a scratch folder (DESTDIR): what is put where, and that it works."""
import os
import subprocess

from harness import ROOT, SLM, Suite

WANTED = ['bin/slm', 'share/man/man1/slm.1', 'share/bash-completion/completions/slm',
          'share/zsh/site-functions/_slm', 'share/doc/slm/LICENSE',
          'share/slm/data/ask-first/seed.jsonl']


def make(suite, name, *arguments):
    # The variables of an outer make come by MAKEFLAGS, so nothing is built in another way.
    done = subprocess.run(['make', '-C', ROOT, '--no-print-directory',
                           f'BUILD={os.path.dirname(SLM)}', *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding='utf-8', check=False)
    suite.check(name, done.returncode == 0, done.stdout[-2000:])


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(path, name), folder)
                  for path, _, names in os.walk(folder) for name in names)


def main():
    with Suite() as suite:
        target = suite.path('root')
        make(suite, 'make install', 'install', f'DESTDIR={target}', 'PREFIX=/usr')
        got = files_below(os.path.join(target, 'usr'))
        suite.equal('everything is there', [name for name in WANTED if name not in got], [])
        suite.equal('and nothing outside PREFIX', os.listdir(target), ['usr'])
        program = os.path.join(target, 'usr/bin/slm')
        done = subprocess.run([program, '--version'], stdout=subprocess.PIPE, encoding='utf-8',
                              check=False)
        suite.check('the program runs', done.stdout.startswith('slm '), done)
        with open(os.path.join(target, 'usr/share/man/man1/slm.1'), encoding='utf-8') as stream:
            suite.check('the manual page is one', stream.read(400).startswith('.TH SLM 1'))
        mode = os.stat(os.path.join(target, 'usr/share/man/man1/slm.1')).st_mode & 0o777
        suite.equal('the manual page is no program', oct(mode), oct(0o644))
        make(suite, 'bindir and mandir are honoured', 'install', f'DESTDIR={suite.path("other")}',
             'bindir=/opt/bin', 'mandir=/opt/man')
        suite.check('they are where they were asked for',
                    os.path.exists(suite.path('other/opt/bin/slm'))
                    and os.path.exists(suite.path('other/opt/man/man1/slm.1')))
        make(suite, 'make uninstall', 'uninstall', f'DESTDIR={target}', 'PREFIX=/usr')
        suite.equal('nothing is left', files_below(target), [])
        suite.finish()


if __name__ == '__main__':
    main()
