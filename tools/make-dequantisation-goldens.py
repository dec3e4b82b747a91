#!/usr/bin/env python3
"""Make tests/golden/dequantise.gguf and nf4.safetensors: quantised tensors, and beside each tensor X
a tensor X.expected with the numbers that the formats' own Python packages make of it. The test
tests/unit/tensor/test_dequantise.c reads both and compares bits.

    tools/make-dequantisation-goldens.py [--scale N] [--out FOLDER]

--scale N makes N times as many numbers, for a comparison at large: give the files to the test
program as arguments. Needs the packages gguf, numpy, torch, bitsandbytes and safetensors (CPU).
"""
import argparse
import os

import bitsandbytes.functional
import gguf
import numpy
import safetensors.torch
import torch

# Where halves stand in a block: their exponents are kept small, so that all numbers are finite.
HALVES = {'Q8_0': (0,), 'Q4_0': (0,), 'Q4_1': (0, 2), 'Q5_0': (0,), 'Q5_1': (0, 2), 'Q4_K': (0, 2),
          'Q5_K': (0, 2), 'Q6_K': (208,)}


def make_gguf(path, scale):
    random = numpy.random.default_rng(20240601)
    writer = gguf.GGUFWriter(path, 'none')
    for name, halves in HALVES.items():
        kind = getattr(gguf.GGMLQuantizationType, name)
        items, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, size=(max(2, 512 // items) * scale, size), dtype=numpy.uint8)
        for at in halves:
            blocks[:, at + 1] &= 0xbf
        expected = gguf.quants.dequantize(blocks, kind).astype(numpy.float32)
        assert numpy.isfinite(expected).all()
        writer.add_tensor(name, blocks, raw_dtype=kind)
        writer.add_tensor(name + '.expected', expected)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_nf4(path, scale):
    torch.manual_seed(20240601)
    tensors = {}
    # (name, dtype, shape, block, double quantisation); 8,256 numbers in blocks of 32 have more than
    # 256 scales, hence two nested ones; 7 x 30 ends within a block.
    for name, dtype, shape, block, nested in (
            ('bf16', torch.bfloat16, (86 * scale, 96), 32, True), ('f16', torch.float16, (7, 30), 64, True),
            ('f32', torch.float32, (12 * scale, 64), 64, True), ('flat', torch.bfloat16, (10, 40), 64, False)):
        weights = (torch.randn(shape) * 0.05).to(dtype)
        packed, state = bitsandbytes.functional.quantize_4bit(
            weights, blocksize=block, compress_statistics=nested, quant_type='nf4')
        tensors[name] = packed
        for key, value in state.as_dict(packed=True).items():
            tensors[f'{name}.{key}'] = value
        expected = bitsandbytes.functional.dequantize_4bit(packed, state)
        assert expected.shape == shape and expected.dtype == dtype
        tensors[name + '.expected'] = expected
    safetensors.torch.save_file(tensors, path, metadata={'format': 'pt'})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--scale', type=int, default=1)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument('--out', default=os.path.join(root, 'tests', 'golden'))
    options = parser.parse_args()
    make_gguf(os.path.join(options.out, 'dequantise.gguf'), options.scale)
    make_nf4(os.path.join(options.out, 'nf4.safetensors'), options.scale)


if __name__ == '__main__':
    main()
