#!/usr/bin/env python3
"""perplexity: windows, figures and changes on small models with random weights; its errors."""
import json
import math
import os
import random
import struct

import tiny_gguf
from harness import Suite, run

WORDS = ['the', 'mother', 'in', 'pain', 'rather', 'another', 'an', 'answer', 'fever', 'Grüße', '東京']


def text_of(seed, words):
    rng = random.Random(seed)
    return ' '.join(rng.choice(WORDS) for _ in range(words))


def adapter(folder, gain):
    """A LoRA of rank 2 beside the q of three layers; with gain 0 it changes nothing."""
    os.makedirs(folder)
    rng, header, data = random.Random(3), {}, b''
    for layer in range(3):
        front = f'base_model.model.model.layers.{layer}.self_attn.q_proj.lora_'
        for name, shape, sd in ((front + 'A.weight', [2, 32], .3), (front + 'B.weight', [32, 2], gain)):
            values = [rng.gauss(0, sd) for _ in range(64)]
            header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + 256]}
            data += struct.pack('<64f', *values)
    head = json.dumps(header).encode()
    with open(os.path.join(folder, 'adapter_model.safetensors'), 'wb') as stream:
        stream.write(struct.pack('<Q', len(head)) + head + data)
    with open(os.path.join(folder, 'adapter_config.json'), 'w', encoding='utf-8') as stream:
        json.dump({'peft_type': 'LORA', 'r': 2, 'lora_alpha': 4, 'bias': 'none',
                   'target_modules': ['q_proj'], 'base_model_name_or_path': None}, stream)
    return folder


def measured(suite, name, *arguments, **options):
    return json.loads(suite.succeeds(name, 'perplexity', *arguments, '--json', **options))


def figures(suite, model, path, text):
    base = [model, '--text', path, '--ctx', '64']
    tree = measured(suite, 'slm perplexity --json', *base)
    found = tree['models'][0]
    count = len(run('tokenize', model, path).stdout.split())
    rest = count % 64
    suite.equal('windows', found['windows'], count // 64 + (rest >= 2))
    suite.equal('all but the first token of each is scored', found['tokens'],
                count // 64 * 63 + (rest - 1 if rest >= 2 else 0))
    suite.check('the bytes of those tokens', 0 < len(text.encode()) - found['bytes']
                <= 4 * (found['windows'] + 1), found)
    suite.check('perplexity is exp of the mean',
                abs(math.log(found['perplexity']) - found['nll_nats'] / found['tokens']) < 1e-9, found)
    suite.check('bits per byte', abs(found['bits_per_byte'] * found['bytes'] * math.log(2)
                                     / found['nll_nats'] - 1) < 1e-9, found)
    low, high = found['perplexity_interval']
    suite.check('it is within its interval', low < found['perplexity'] < high, found)
    suite.equal('the text', tree['texts'], [{'text': path, 'bytes': len(text.encode())}])
    suite.check('one model has no change', 'change_percent' not in found, found)
    for change in (['--threads', '1'], ['--threads', '2'], ['--batch', '1'], ['--batch', '7'],
                   ['--batch', '200'], ['--quantised', 'widen']):
        suite.equal('the same with ' + ' '.join(change),
                    measured(suite, 'it runs', *base, *change), tree)
    other = measured(suite, 'another ctx', model, '--text', path, '--ctx', '32')['models'][0]
    suite.check('gives another figure', other['perplexity'] != found['perplexity'], other)
    piped = measured(suite, 'from stdin', model, '--text', '-', '--ctx', '64', stdin='\ufeff' + text)
    suite.equal('the same without its byte order mark', piped['models'], tree['models'])
    done = run('perplexity', *base)
    suite.contains('as a table', done.stdout, 'perplexity', '95% interval', 'bits/byte',
                   f'{found["perplexity"]:.3f}', f'{found["bits_per_byte"]:.4f}', model)
    suite.contains('with progress on stderr', done.stderr, 'perplexity', 'tokens')
    return found


def limits(suite, model, path):
    both = measured(suite, 'two texts', model, '--text', path, '--text', path, '--ctx', '64')['models'][0]
    one = measured(suite, 'one of them', model, '--text', path, '--ctx', '64')['models'][0]
    suite.equal('no window crosses from one into the next', (both['windows'], both['tokens']),
                (2 * one['windows'], 2 * one['tokens']))
    suite.check('the same figure', abs(both['perplexity'] / one['perplexity'] - 1) < 1e-12, both)
    cut = measured(suite, '--limit', model, '--text', path, '--ctx', '64', '--limit', '130')['models'][0]
    suite.equal('three windows, the last of two tokens', (cut['windows'], cut['tokens']), (3, 127))
    cut = measured(suite, '--limit', model, '--text', path, '--ctx', '64', '--limit', '129')['models'][0]
    suite.equal('one token is no window', (cut['windows'], cut['tokens']), (2, 126))
    done = run('perplexity', model, '--text', path, '--limit', '10')
    suite.check('one window has no interval, and that is told',
                done.returncode == 0 and '1 window' in done.stderr and ' - ' in done.stdout, done)


def changes(suite, model, path):
    nothing, lora = adapter(suite.path('nothing'), 0), adapter(suite.path('lora'), .5)
    tree = measured(suite, 'three models', model, f'{model}+{nothing}', f'{model}+{lora}', '--text', path,
                    '--ctx', '64', '--dtype', 'f32')
    first, same, other = tree['models']
    suite.equal('an adapter of zeros changes nothing',
                (same['perplexity'], same['change_percent'], same['change_interval']),
                (first['perplexity'], 0, [0, 0]))
    suite.check('another one does', abs(other['change_percent'] - 100 *
                                        (other['perplexity'] / first['perplexity'] - 1)) < 1e-9
                and other['change_percent'] != 0, other)
    low, high = other['change_interval']
    suite.check('within its interval', low < other['change_percent'] < high, other)
    suite.contains('the table has it', run('perplexity', model, f'{model}+{lora}', '--text', path, '--ctx',
                                           '64', '--dtype', 'f32').stdout, 'change',
                   f'{other["change_percent"]:+.2f}%', f'+{lora}')

    def with_bos(entries):
        entries[:] = [(key, kind, True if key.endswith('add_bos_token') else value)
                      for key, kind, value in entries if key != 'tokenizer.chat_template']

    bos = suite.path('bos.gguf')
    tiny_gguf.write(bos, change=with_bos)
    tree = measured(suite, 'a tokenizer with a BOS, without a chat template', model, bos, '--text', path,
                    '--ctx', '64')
    count = len(run('tokenize', model, path).stdout.split())
    found = tree['models'][1]
    suite.equal('all of its text is scored', (found['tokens'], found['bytes']),
                (count, os.path.getsize(path)))
    suite.equal('it has no change', (found['change_percent'], found['change_interval']), (None, None))
    suite.contains('and that is told', run('perplexity', model, bos, '--text', path, '--ctx', '64').stderr,
                   'bits per byte', bos)


def errors(suite, model, path):
    suite.fails('no text', 2, ['--text FILE'], 'perplexity', model)
    suite.fails('no model', 2, ['perplexity'], 'perplexity', '--text', path)
    for name, content, parts in (
            ('empty', b'', ['is empty']), ('mark', b'\xef\xbb\xbf', ['is empty']),
            ('binary', b'abc\0def', ['byte 4 is zero', 'plain text']),
            ('latin', 'Fieber, Grüße'.encode('latin-1'), ['byte 11', 'UTF-8', 'iconv']),
            ('white', ' \n\t\u3000\n'.encode(), ['white space']),
            ('short', b'a', ['wants two', 'more text'])):
        text = suite.write(name, content)
        suite.fails(f'a text that is {name}', 1, [model if name == 'short' else text, *parts], 'perplexity',
                    model, '--text', text)
    suite.fails('no such text', 1, ['nosuch.txt'], 'perplexity', model, '--text', suite.path('nosuch.txt'))
    suite.fails('a folder for a text', 1, [suite.folder], 'perplexity', model, '--text', suite.folder)
    suite.fails('a limit below a window', 1, ['--limit'], 'perplexity', model, '--text', path, '--limit',
                '1')
    for wrong in ('openai:gpt-4.1', 'recorded:' + path):
        suite.fails(f'{wrong.split(":", maxsplit=1)[0]} for a model', 1, [wrong, '.gguf', '+DIR'],
                    'perplexity', model, wrong, '--text', path)
    suite.fails('a source for a model', 1, ['slm pull'], 'perplexity', 'hf:a/b', '--text', path)
    suite.fails('no such model', 1, ['nosuch.gguf'], 'perplexity', model, suite.path('nosuch.gguf'),
                '--text', path)
    suite.fails('no such adapter', 1, ['nosuch', 'adapter'], 'perplexity', model,
                model + '+' + suite.path('nosuch'), '--text', path)
    suite.fails('a window longer than the context', 2, [model, '--ctx', '2048'], 'perplexity', model,
                '--text', path, '--ctx', '2049')


def main():
    os.environ.pop('NO_COLOR', None)
    with Suite() as suite:
        model, text = suite.path('tiny.gguf'), text_of(5, 400)
        tiny_gguf.write(model)
        path = suite.write('general.txt', text)
        figures(suite, model, path, text)
        limits(suite, model, path)
        changes(suite, model, path)
        errors(suite, model, path)
        suite.finish()


if __name__ == '__main__':
    main()
