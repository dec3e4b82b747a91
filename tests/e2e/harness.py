"""What the end-to-end tests share: running slm, and TAP lines on stdout (tools/run-tests counts them).

SLM in the environment names the program; else it is build/slm. Python's standard library only.
"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLM = os.environ.get('SLM', os.path.join(ROOT, 'build', 'slm'))


class Suite:
    """Counts checks. Use as a context manager: a scratch folder goes away at the end."""

    def __init__(self):
        self.count = self.failed = 0
        self.folder = tempfile.mkdtemp(prefix='slm-e2e-')

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is not None and kind is not SystemExit:
            self.check(f'the test itself ran to its end ({kind.__name__}: {error})', False)
        print(f'1..{self.count}')
        sys.stdout.flush()
        return False

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        mode, encoding = ('wb', None) if isinstance(content, bytes) else ('w', 'utf-8')
        with open(self.path(name), mode, encoding=encoding) as stream:
            stream.write(content)
        return self.path(name)

    def check(self, name, condition, detail=''):
        self.count += 1
        self.failed += not condition
        print(f'{"ok" if condition else "not ok"} {self.count} - {name}')
        if not condition and detail:
            for line in str(detail).splitlines()[:30]:
                print('# ' + line[:500])
        sys.stdout.flush()
        return condition

    def skip(self, name, why):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {why}')

    def equal(self, name, got, wanted):
        return self.check(name, got == wanted, f'got    {got!r:.2000}\nwanted {wanted!r:.2000}')

    def contains(self, name, text, *parts):
        missing = [part for part in parts if part not in text]
        return self.check(name, not missing, f'missing {missing}\nin: {text:.2000}')

    def succeeds(self, name, *arguments, **options):
        """Run slm; it must end with 0. Returns its stdout."""
        done = run(*arguments, **options)
        self.check(name, done.returncode == 0,
                   f'exit status {done.returncode}\nstderr: {done.stderr}')
        return done.stdout

    def fails(self, name, status, parts, *arguments, **options):
        """Run slm; it must end with this status, say all of `parts` on stderr and nothing on stdout."""
        done = run(*arguments, **options)
        good = (done.returncode == status and done.stdout == ''
                and done.stderr.startswith('slm: error: ')
                and all(part in done.stderr for part in parts))
        self.check(name, good, f'exit status {done.returncode}, wanted {status}\nwanted {parts}\n'
                   f'stderr: {done.stderr}\nstdout: {done.stdout!r:.300}')

    def finish(self):
        sys.exit(1 if self.failed else 0)


def run(*arguments, stdin='', env=None, timeout=300, cwd=None):
    """slm with these arguments; stdout and stderr as text, their line ends as they are."""
    done = subprocess.run([SLM, *arguments], input=stdin.encode('utf-8'), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, cwd=cwd, env={**os.environ, **(env or {})},
                          timeout=timeout, check=False)
    done.stdout = done.stdout.decode('utf-8', 'replace')
    done.stderr = done.stderr.decode('utf-8', 'replace')
    return done


def start(*arguments, **options):
    """slm in the background."""
    options = {'stdin': subprocess.DEVNULL, **options}
    return subprocess.Popen([SLM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            encoding='utf-8', errors='replace', **options)
