"""What the end-to-end tests of `slm train` look at in a stage's folder."""
import json
import os


def read(path):
    with open(path, 'rb') as stream:
        return stream.read()


def metrics(folder):
    """The lines of the log without what a clock measured."""
    rows = [json.loads(line) for line in read(os.path.join(folder, 'metrics.jsonl')).splitlines()]
    for row in rows:
        row.pop('time', None)
    return rows


def same(suite, name, one, two, *more):
    """Two runs of a stage ended alike: weights, moments, log, and the files named besides."""
    for part in ('last/adapter_model.safetensors', 'last/optimiser.safetensors',
                 'best/adapter_model.safetensors', *more):
        suite.check(f'{name}: {part}', read(os.path.join(one, part)) == read(os.path.join(two, part)))
    suite.equal(f'{name}: metrics', metrics(two), metrics(one))
