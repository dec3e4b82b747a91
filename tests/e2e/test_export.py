#!/usr/bin/env python3
"""export: a model and an adapter for other programs, on a small model with random weights."""
import json
import os
import random
import shutil
import struct

import tiny_gguf
from harness import Suite, run


def safetensors(path, tensors):
    """name -> (shape, values), as float32."""
    header, data = {}, b''
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f'<{len(values)}f', *values)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data),
                                                                         len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, 'wb') as stream:
        stream.write(struct.pack('<Q', len(text)) + text + data)


def adapter(folder, scale=1.0):
    os.makedirs(folder)
    rng, tensors = random.Random(3), {}
    for layer in range(3):
        for name, rows in (('q_proj', 32), ('v_proj', 16)):
            front = f'base_model.model.model.layers.{layer}.self_attn.{name}.lora_'
            tensors[front + 'A.weight'] = [4, 32], [rng.gauss(0, .2) for _ in range(4 * 32)]
            tensors[front + 'B.weight'] = [rows, 4], [rng.gauss(0, .3) for _ in range(rows * 4)]
    safetensors(os.path.join(folder, 'adapter_model.safetensors'), tensors)
    with open(os.path.join(folder, 'adapter_config.json'), 'w', encoding='utf-8') as stream:
        json.dump({'peft_type': 'LORA', 'r': 4, 'lora_alpha': 8 * scale, 'bias': 'none',
                   'target_modules': ['q_proj', 'v_proj'], 'base_model_name_or_path': None}, stream)
    return folder


def answer(model):
    done = run('chat', model, '-p', 'the mother is in pain', '--temperature', '0', '--max-tokens',
               '24', '--dtype', 'f32', '--kernels', 'ref', '--json')
    return json.loads(done.stdout)['reply_ids'] if done.returncode == 0 else done.stderr


def header_of(path):
    with open(path, 'rb') as stream:
        size, = struct.unpack('<Q', stream.read(8))
        return json.loads(stream.read(size))


def merged(suite, model, lora):
    both, wanted = f'{model}+{lora}', answer(f'{model}+{lora}')
    suite.check('the adapter changes the answer', wanted != answer(model), wanted)
    folder, gguf = suite.path('merged'), suite.path('merged.gguf')
    text = suite.succeeds('slm export', 'export', both, '-o', folder, '--type', 'f32')
    suite.contains('it tells what was learnt', text, '29 tensors', 'as F32', 'q_proj', 'v_proj',
                   'all', 'lost to rounding')
    suite.equal('a folder of', sorted(os.listdir(folder)),
                ['config.json', 'generation_config.json', 'model.safetensors',
                 'special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json'])
    suite.equal('the merged folder answers so too', answer(folder), wanted)
    suite.succeeds('a name in .gguf', 'export', both, '-o', gguf, '--type', 'f32')
    suite.equal('the merged GGUF answers so too', answer(gguf), wanted)
    suite.succeeds('from that folder', 'export', folder, '-o', suite.path('back.gguf'), '--type',
                   'f32', '--quiet')
    suite.equal('and it answers so too', answer(suite.path('back.gguf')), wanted)
    facts = header_of(os.path.join(folder, 'model.safetensors'))['__metadata__']
    suite.equal('it says what it was made of', sorted(facts),
                ['format', 'slm.adapter_sha256', 'slm.base_sha256', 'slm.version'])
    lines = run('tokenize', model, stdin='the mother, Ärzte 12\n').stdout
    suite.equal('its tokenizer', run('tokenize', folder, stdin='the mother, Ärzte 12\n').stdout,
                lines)
    with open(os.path.join(folder, 'tokenizer_config.json'), encoding='utf-8') as stream:
        suite.equal('its chat template', json.load(stream)['chat_template'], tiny_gguf.TEMPLATE)


def rounding(suite, model, lora):
    small = adapter(suite.path('small'), 0.01)
    coarse = suite.path('coarse')
    suite.succeeds('weights on a coarse grid', 'export', model, '-o', coarse, '--type', 'bf16')
    done = run('export', f'{coarse}+{small}', '-o', suite.path('lost'), '--type', 'bf16', '--json')
    facts = json.loads(done.stdout)
    change = facts['changes'][-1]
    suite.check('a small adapter is lost there', change['kind'] == 'all' and change['lost'] > 0.05,
                change)
    suite.contains('and that is said', done.stderr, 'warning', 'rounding to BF16', '--type f')
    suite.equal('what it would be', change['lost'], change['lost_bf16'])
    done = run('export', f'{coarse}+{small}', '-o', suite.path('kept'), '--type', 'f32', '--json')
    suite.check('F32 keeps it', json.loads(done.stdout)['changes'][-1]['lost'] < 1e-4 and
                'warning' not in done.stderr, done)
    done = run('export', f'{model}+{lora}', '-o', suite.path('q8.gguf'), '--type', 'q8_0', '--json')
    suite.equal('Q8_0', json.loads(done.stdout)['type'], 'Q8_0')
    suite.check('it can be asked', isinstance(answer(suite.path('q8.gguf')), list))


def peft(suite, model, lora):
    copy, base = suite.path('peft'), suite.path('peft-base')
    suite.succeeds('--format peft', 'export', f'{model}+{lora}', '--format', 'peft', '-o', copy,
                   '--base', base, '--type', 'f32')
    with open(os.path.join(copy, 'adapter_config.json'), encoding='utf-8') as stream:
        named = json.load(stream)['base_model_name_or_path']
    suite.equal('it names the base', os.path.realpath(named), os.path.realpath(base))
    suite.equal('beside that base it answers so too', answer(f'{base}+{copy}'),
                answer(f'{model}+{lora}'))
    done = run('export', f'{model}+{lora}', '--format', 'peft', '-o', suite.path('peft-2'))
    suite.check('without a base peft could open', done.returncode == 0 and '--base PATH' in
                done.stderr, done)
    suite.fails('peft without an adapter', 2, ['MODEL+DIR'], 'export', model, '--format', 'peft',
                '-o', suite.path('x'))


def refused(suite, model, lora):
    suite.fails('no -o', 2, ['-o PATH'], 'export', model)
    suite.fails('Q8_0 in safetensors', 2, ['--format gguf'], 'export', model, '-o', suite.path('x'),
                '--type', 'q8_0')
    suite.fails('what is there', 2, ['merged', '--force'], 'export', model, '-o',
                suite.path('merged'))
    suite.fails('the model itself', 2, ['is what is read'], 'export', model, '-o', model, '--force')
    suite.fails('--base for a model', 2, ['--format peft'], 'export', model, '-o', suite.path('x'),
                '--base', suite.path('y'))
    done = run('export', model, '-o', '/dev/full', '--format', 'gguf')
    suite.check('a full disk', done.returncode == 1 and done.stdout == '' and
                'error: /dev/full: cannot write' in done.stderr, done)
    suite.fails('no such model', 1, ['nosuch'], 'export', suite.path('nosuch.gguf'), '-o',
                suite.path('x'))
    stage = suite.path('stage')
    shutil.copytree(lora, os.path.join(stage, 'best'))
    for command in (('export', '-o', suite.path('x')), ('chat', '-p', 'x'), ('info',),
                    ('perplexity', '--text', __file__)):
        suite.fails(f'a stage for its adapter, {command[0]}', 1, [f'name the one in {stage}/best'], command[0],
                    f'{model}+{stage}', *command[1:])
    suite.fails('an adapter as weights', 2, ['holds an adapter'], 'export', model, '--weights', lora,
                '-o', suite.path('x'))
    suite.succeeds('--force', 'export', model, '-o', suite.path('merged'), '--force')
    suite.check('nothing half-written stays', not [name for name in os.listdir(suite.folder)
                                                   if 'partial' in name or name.endswith('.old')
                                                   or name == 'x'], os.listdir(suite.folder))


def shards(suite, model):
    folder = suite.path('shards')
    done = json.loads(suite.succeeds('--max-shard', 'export', model, '-o', folder, '--type', 'f32',
                                     '--max-shard', '64K', '--json'))
    with open(os.path.join(folder, 'model.safetensors.index.json'), encoding='utf-8') as stream:
        index = json.load(stream)
    suite.equal('files', len(set(index['weight_map'].values())), done['files'])
    suite.equal('bytes', index['metadata']['total_size'], done['bytes'])
    suite.equal('they answer as one', answer(folder), answer(model))


def trained(suite, model):
    """All weights trained: a checkpoint has the tensors and no settings."""
    other, whole, best = suite.path('other.gguf'), suite.path('other'), suite.path('best')
    tiny_gguf.write(other, seed=2)
    suite.succeeds('other weights', 'export', other, '-o', whole, '--type', 'f32', '--quiet')
    os.makedirs(best)
    os.rename(os.path.join(whole, 'model.safetensors'), os.path.join(best, 'model.safetensors'))
    text = suite.succeeds('--weights', 'export', model, '--weights', best, '-o',
                          suite.path('trained'), '--type', 'f32')
    suite.contains('it tells what was learnt', text, 'embedding', 'vectors', 'gate_proj')
    suite.equal('it answers with those', answer(suite.path('trained')), answer(other))


def main():
    with Suite() as suite:
        model = suite.path('tiny.gguf')
        tiny_gguf.write(model)
        lora = adapter(suite.path('lora'))
        merged(suite, model, lora)
        rounding(suite, model, lora)
        peft(suite, model, lora)
        refused(suite, model, lora)
        shards(suite, model)
        trained(suite, model)
    suite.finish()


if __name__ == '__main__':
    main()
