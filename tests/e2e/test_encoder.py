#!/usr/bin/env python3
"""A small sentence encoder, made here: slm info, tokenize, bench, and data check --encoder."""
import json
import os
import random
import struct

from harness import Suite, run

WIDTH, FEED, LAYERS = 16, 24, 2
WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'fever', '##s', 'child', '?', 'the', 'how']
CONFIG = {'model_type': 'bert', 'hidden_act': 'gelu', 'num_hidden_layers': LAYERS,
          'num_attention_heads': 2, 'hidden_size': WIDTH, 'intermediate_size': FEED,
          'vocab_size': len(WORDS), 'max_position_embeddings': 32, 'type_vocab_size': 2}


def make_folder(suite):
    shapes = {'embeddings.word_embeddings.weight': [len(WORDS), WIDTH],
              'embeddings.position_embeddings.weight': [32, WIDTH],
              'embeddings.token_type_embeddings.weight': [2, WIDTH],
              'embeddings.LayerNorm.weight': [WIDTH], 'embeddings.LayerNorm.bias': [WIDTH]}
    parts = [('attention.self.query', WIDTH, WIDTH), ('attention.self.key', WIDTH, WIDTH),
             ('attention.self.value', WIDTH, WIDTH), ('attention.output.dense', WIDTH, WIDTH),
             ('intermediate.dense', FEED, WIDTH), ('output.dense', WIDTH, FEED),
             ('attention.output.LayerNorm', WIDTH, 0), ('output.LayerNorm', WIDTH, 0)]
    for layer in range(LAYERS):
        for name, rows, columns in parts:
            name = f'encoder.layer.{layer}.{name}'
            shapes[name + '.weight'] = [rows, columns] if columns else [rows]
            shapes[name + '.bias'] = [rows]
    rng, header, data = random.Random(1), {}, b''
    for name, shape in shapes.items():
        items = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f'<{items}f', *(rng.gauss(0, 0.5) for _ in range(items)))
        header[name] = {'dtype': 'F32', 'shape': shape,
                        'data_offsets': [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    folder = suite.path('encoder')
    os.mkdir(folder)
    with open(os.path.join(folder, 'model.safetensors'), 'wb') as stream:
        stream.write(struct.pack('<Q', len(text)) + text + data)
    for name, content in (('config.json', json.dumps(CONFIG)), ('vocab.txt', '\n'.join(WORDS))):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as stream:
            stream.write(content)
    return folder


def row(identity, text):
    return json.dumps({'prompt_id': identity, 'prompt': [{'role': 'user', 'content': text}],
                       'rubrics': [{'criterion': 'c', 'points': 1, 'tags': []}],
                       'example_tags': []}) + '\n'


def check(suite):
    folder = make_folder(suite)
    text = suite.succeeds('slm info', 'info', folder)
    suite.check('info tells of an encoder', 'bert, an encoder' in text and 'WordPiece' in text
                and 'the mean' in text, text)
    facts = json.loads(suite.succeeds('slm info --json', 'info', folder, '--json'))
    suite.equal('its shape', (facts['encoder']['embedding'], facts['encoder']['max_tokens']),
                (WIDTH, 32))
    lines = suite.write('lines.txt', 'How the CHILD fevers?\nunknown\n')
    suite.equal('its tokens', suite.succeeds('slm tokenize', 'tokenize', folder, lines),
                '9 8 6 4 5 7\n1\n')
    bench = json.loads(suite.succeeds('slm bench --json', 'bench', folder, '--json', '--repeat', '1'))
    suite.check('texts per second', all(test['texts_per_s'] > 0 for test in bench['tests']), bench)
    sides = [suite.write('train.jsonl', row('a', 'How the fever ?')),
             suite.write('test.jsonl', row('b', 'how THE   fever?'))]
    done = run('data', 'check', *sides, '--plain-rows', '--encoder', folder, '--json')
    alike = [check for check in json.loads(done.stdout)['checks'] if check['check'] == 'alike']
    suite.check('the same tokens are alike', '1 pairs across sides' in json.dumps(alike), done)
    suite.fails('a folder without an encoder', 1, ['neither model.safetensors'], 'data', 'check',
                *sides, '--plain-rows', '--encoder', os.path.dirname(folder))
    suite.fails('an encoder does not chat', 1, [folder], 'chat', folder, '-p', 'x', '--template',
                'chatml')


def main():
    with Suite() as suite:
        check(suite)
        suite.finish()


if __name__ == '__main__':
    main()
