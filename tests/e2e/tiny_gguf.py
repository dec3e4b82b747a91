#!/usr/bin/env python3
"""Write a small Llama with random weights and a byte-level tokenizer as a GGUF v3 file.

    tests/e2e/tiny_gguf.py OUT.gguf

The layout is the GGUF specification's (ggml project, docs/gguf.md): header, metadata, tensor table,
then the tensors at multiples of 32. Weights are float32 and depend on the seed alone.
"""
import random
import struct
import sys

U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
I32 = 5
ALIGNMENT = 32

TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
            "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
MERGES = ['t h', 'th e', 'i n', 'e r', 'a n', 'Ġ the', 'Ġ a']


def byte_characters():
    """The printable character that stands for each byte in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return [table[byte] for byte in range(256)]


def packed_string(text):
    raw = text.encode('utf-8')
    return struct.pack('<Q', len(raw)) + raw


def packed_value(kind, value):
    if kind == STRING:
        return packed_string(value)
    if kind == ARRAY:
        item_kind, items = value
        return struct.pack('<IQ', item_kind, len(items)) + b''.join(
            packed_value(item_kind, item) for item in items)
    return struct.pack({U32: '<I', I32: '<i', F32: '<f', BOOL: '<?'}[kind], value)


def metadata(layers, width, heads, kv_heads, feed, context, architecture):
    tokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', *byte_characters()]
    tokens += [merge.replace(' ', '') for merge in MERGES]
    types = [3] * 3 + [1] * (len(tokens) - 3)
    name = architecture
    return len(tokens), [
        ('general.architecture', STRING, architecture),
        ('general.name', STRING, 'tiny'),
        (f'{name}.block_count', U32, layers),
        (f'{name}.context_length', U32, context),
        (f'{name}.embedding_length', U32, width),
        (f'{name}.feed_forward_length', U32, feed),
        (f'{name}.attention.head_count', U32, heads),
        (f'{name}.attention.head_count_kv', U32, kv_heads),
        (f'{name}.rope.dimension_count', U32, width // heads),
        (f'{name}.rope.freq_base', F32, 10000.0),
        (f'{name}.attention.layer_norm_rms_epsilon', F32, 1e-5),
        ('tokenizer.ggml.model', STRING, 'gpt2'),
        ('tokenizer.ggml.pre', STRING, 'smollm'),
        ('tokenizer.ggml.tokens', ARRAY, (STRING, tokens)),
        ('tokenizer.ggml.token_type', ARRAY, (I32, types)),
        ('tokenizer.ggml.merges', ARRAY, (STRING, MERGES)),
        ('tokenizer.ggml.bos_token_id', U32, 1),
        ('tokenizer.ggml.eos_token_id', U32, 2),
        ('tokenizer.ggml.add_bos_token', BOOL, False),
        ('tokenizer.chat_template', STRING, TEMPLATE),
    ]


def tensors(vocabulary, layers, width, heads, kv_heads, feed, rng):
    """(name, shape with the slowest dimension first, values)"""
    kv = width // heads * kv_heads

    def matrix(name, rows, columns, gain=1.0):
        sd = gain / columns ** 0.5
        return name, [rows, columns], [rng.gauss(0, sd) for _ in range(rows * columns)]

    def norm(name):
        return name, [width], [rng.gauss(1, 0.1) for _ in range(width)]

    yield matrix('token_embd.weight', vocabulary, width, 1.5)
    yield norm('output_norm.weight')
    for layer in range(layers):
        block = f'blk.{layer}.'
        yield norm(block + 'attn_norm.weight')
        yield matrix(block + 'attn_q.weight', width, width)
        yield matrix(block + 'attn_k.weight', kv, width)
        yield matrix(block + 'attn_v.weight', kv, width)
        yield matrix(block + 'attn_output.weight', width, width)
        yield norm(block + 'ffn_norm.weight')
        yield matrix(block + 'ffn_gate.weight', feed, width)
        yield matrix(block + 'ffn_up.weight', feed, width)
        yield matrix(block + 'ffn_down.weight', width, feed)


def q8_0(values):
    """Blocks of 32: the scale as a half, then whole numbers of 8 bits."""
    raw = b''
    for at in range(0, len(values), 32):
        block = values[at:at + 32]
        half = struct.pack('<e', max(map(abs, block)) / 127)
        scale = struct.unpack('<e', half)[0] or 1.0
        raw += half + struct.pack('<32b', *(max(-127, min(127, round(x / scale))) for x in block))
    return raw


def write(path, layers=3, width=32, heads=4, kv_heads=2, feed=48, context=2048, seed=1,
          architecture='llama', change=None, quantised=False):
    """Write the file, with matrices as Q8_0 if `quantised`. `change` may edit the list of metadata
    entries before. Returns facts."""
    vocabulary, entries = metadata(layers, width, heads, kv_heads, feed, context, architecture)
    if change:
        change(entries)
    table, data, count, parameters = b'', b'', 0, 0
    for name, shape, values in tensors(vocabulary, layers, width, heads, kv_heads, feed,
                                       random.Random(seed)):
        table += packed_string(name) + struct.pack('<I', len(shape))
        table += b''.join(struct.pack('<Q', size) for size in reversed(shape))
        small = quantised and len(shape) == 2
        table += struct.pack('<IQ', 8 if small else 0, len(data))
        data += q8_0(values) if small else struct.pack(f'<{len(values)}f', *values)
        data += bytes(-len(data) % ALIGNMENT)
        count += 1
        parameters += len(values)
    head = b'GGUF' + struct.pack('<IQQ', 3, count, len(entries))
    for key, kind, value in entries:
        head += packed_string(key) + struct.pack('<I', kind) + packed_value(kind, value)
    head += table
    head += bytes(-len(head) % ALIGNMENT)
    with open(path, 'wb') as stream:
        stream.write(head + data)
    return {'tensors': count, 'parameters': parameters, 'vocabulary': vocabulary,
            'head_bytes': len(head)}


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('usage: tiny_gguf.py OUT.gguf')
    print(write(sys.argv[1]))
