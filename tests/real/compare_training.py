#!/usr/bin/env python3
"""Hold slm's training against PyTorch's on random models: gradients, steps of AdamW, logs, adapters.

  make build/slm build/tests/real/train_steps build/tests/real/dump_logits
  python3 tests/real/compare_training.py [--build build]

Models are made with transformers and saved as safetensors. The gradient of all weights of a small Llama
and a small Qwen3: cosine above 0.99999 and norm within 1e-4 of PyTorch's f32 (cosine above 0.999 where
slm computes with bf16); of LoRA over NF4 against peft over the same weights; the losses of 10 steps of
AdamW within 1e-4. Then a whole `slm train`: TensorBoard's reader reads its events, and peft gives the
adapter's logits. Needs torch, transformers, peft, tensorboard; bitsandbytes for NF4.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

LINEARS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
COMMON = dict(vocab_size=512, hidden_size=128, intermediate_size=320, num_hidden_layers=4,
              num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=2048)
FAMILIES = {
    'llama': (LlamaForCausalLM, LlamaConfig(**COMMON)),
    'llama-tied': (LlamaForCausalLM, LlamaConfig(**COMMON, tie_word_embeddings=True)),
    'qwen3': (Qwen3ForCausalLM, Qwen3Config(**COMMON, head_dim=32)),
    'qwen3-tied': (Qwen3ForCausalLM, Qwen3Config(**COMMON, head_dim=32, tie_word_embeddings=True)),
}
STEPS, RATE = 10, 1e-3


def randomise(net, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, p in net.named_parameters():
        if 'norm' in name:
            p.data = 1 + 0.2 * torch.randn(p.shape, generator=generator)
        else:
            p.data = torch.randn(p.shape, generator=generator) * (1.0 / p.shape[1] ** 0.5)


def sequences():
    """(given, ids): four of different lengths, past a page of 64 keys."""
    generator = torch.Generator().manual_seed(3)
    return [(given, torch.randint(0, 512, (n,), generator=generator).tolist())
            for given, n in ((1, 40), (30, 150), (64, 65), (5, 97))]


def loss_of(net, rows):
    """The mean over all learnt tokens."""
    total, count = 0.0, 0
    for given, ids in rows:
        log_prob = net(torch.tensor([ids])).logits[0, :-1].float().log_softmax(1)
        learnt = torch.tensor(ids[given:])
        total = total - log_prob[given - 1:].gather(1, learnt[:, None]).sum()
        count += len(learnt)
    return total / count


def groups_of(net):
    """Matrices with decay, vectors without."""
    learnt = [p for p in net.parameters() if p.requires_grad]
    return [{'params': [p for p in learnt if p.dim() > 1], 'weight_decay': 0.01},
            {'params': [p for p in learnt if p.dim() == 1], 'weight_decay': 0.0}]


def theirs(net, rows):
    """Gradients by name, and the losses of the steps; net is changed."""
    optimiser = torch.optim.AdamW(groups_of(net), lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    gradients, losses = None, []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = loss_of(net, rows)
        loss.backward()
        losses.append(float(loss.detach()))
        if gradients is None:
            gradients = {name.replace('.default', ''): p.grad.detach().double().flatten().clone()
                         for name, p in net.named_parameters() if p.grad is not None}
        torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g['params']], 1.0)
        optimiser.step()
    return gradients, losses


def ours(program, model, dtype, what, rows, folder, kernels='', threads=2):
    out = tempfile.mkdtemp(dir=folder)
    ids = os.path.join(out, 'ids')
    with open(ids, 'w', encoding='ascii') as stream:
        for given, row in rows:
            stream.write(f'{given} {" ".join(map(str, row))}\n')
    subprocess.run([program, model, dtype, kernels, str(threads), what, '512', ids, str(STEPS), str(RATE),
                    out], check=True)
    values = torch.from_numpy(np.fromfile(os.path.join(out, 'gradients.f32'), dtype=np.float32)).double()
    gradients, at = {}, 0
    with open(os.path.join(out, 'gradients.txt'), encoding='utf-8') as stream:
        for line in stream:
            name, height, width = line.split()
            size = int(height) * int(width)
            gradients[name] = values[at:at + size]
            at += size
    with open(os.path.join(out, 'losses.txt'), encoding='utf-8') as stream:
        losses = [float(line.split()[0]) for line in stream]
    return gradients, losses


def compare(what, got, wanted, cosine_above, norm_within, losses=None):
    """Over the whole gradient; the worst parameter is shown."""
    if set(got[0]) != set(wanted[0]):
        print(f'{what}: other parameters: {sorted(set(got[0]) ^ set(wanted[0]))[:4]}: WRONG')
        return False
    names = sorted(got[0])
    x, y = (torch.cat([side[0][name] for name in names]) for side in (got, wanted))
    cosine = float(torch.nn.functional.cosine_similarity(x, y, dim=0))
    norm = abs(float(x.norm() / y.norm()) - 1)
    worst = min((float(torch.nn.functional.cosine_similarity(got[0][n], wanted[0][n], dim=0)), n)
                for n in names if float(wanted[0][n].norm()) > 0)
    far = max(abs(a - b) for a, b in zip(got[1], wanted[1]))
    good = cosine > cosine_above and norm < norm_within and (losses is None or far < losses)
    print(f'{what:26} 1 - cosine {1 - cosine:.1e} (worst {1 - worst[0]:.1e}, {worst[1]}), norm {norm:.1e}, '
          f'{STEPS} losses within {far:.1e} (from {wanted[1][0]:.3f} to {wanted[1][-1]:.3f}): '
          f'{"ok" if good else "WRONG"}', flush=True)
    return good


def lora_of(net, seed):
    lora = get_peft_model(net, LoraConfig(r=8, lora_alpha=24, target_modules=LINEARS))
    generator = torch.Generator().manual_seed(seed)
    for name, p in lora.named_parameters():
        if 'lora_B' in name:
            p.data = 0.02 * torch.randn(p.shape, generator=generator)
    return lora


def make(folder):
    for seed, (name, (kind, config)) in enumerate(FAMILIES.items()):
        net = kind(config)
        randomise(net, seed)
        net.save_pretrained(os.path.join(folder, name))


def families(program, folder):
    good, rows = True, sequences()
    for name, (kind, _) in FAMILIES.items():
        path, adapter = os.path.join(folder, name), os.path.join(folder, name + '-lora')
        net = kind.from_pretrained(path, dtype=torch.float32).eval()
        wanted = theirs(net, rows)
        if name.endswith('tied'):
            wanted[0].pop('lm_head.weight', None)
        for kernels in ('ref', 'avx2', ''):
            good &= compare(f'{name} f32 {kernels or "best"}',
                            ours(program, path, 'f32', 'all', rows, folder, kernels), wanted,
                            0.99999, 1e-4, 1e-4)
        good &= compare(name + ' bf16', ours(program, path, 'bf16', 'all', rows, folder), wanted,
                        0.999, 1e-2)
        net = kind.from_pretrained(path, dtype=torch.float32).eval()
        lora = lora_of(net, 7)
        lora.save_pretrained(adapter)
        wanted = theirs(lora, rows)
        good &= compare(name + ' LoRA f32', ours(program, f'{path}+{adapter}', 'f32', 'adapter', rows,
                                                 folder), wanted, 0.99999, 1e-4, 1e-4)
        good &= compare(name + ' LoRA bf16', ours(program, f'{path}+{adapter}', 'bf16', 'adapter', rows,
                                                  folder), wanted, 0.999, 1e-2)
    return good


def nf4(program, folder):
    """The base as bitsandbytes saves it; peft over its weights, widened by bitsandbytes' own formula."""
    try:
        import bitsandbytes.functional as bnb
    except ImportError as error:
        print(f'NF4: not compared: {error}; --parts families,run leaves it out')
        return False
    from safetensors.torch import load_file, save_file
    good, rows = True, sequences()
    for name in ('llama', 'qwen3'):
        kind = FAMILIES[name][0]
        path, adapter = os.path.join(folder, name), os.path.join(folder, name + '-nf4-lora')
        packed = os.path.join(folder, name + '-nf4')
        os.makedirs(packed)
        tensors, wide = {}, {}
        for key, value in load_file(os.path.join(path, 'model.safetensors')).items():
            if not any(part in key for part in LINEARS):
                tensors[key] = value
                continue
            four, state = bnb.quantize_4bit(value, blocksize=64, compress_statistics=True, quant_type='nf4')
            tensors[key] = four
            tensors.update({f'{key}.{part}': item for part, item in state.as_dict(packed=True).items()})
            wide[key] = bnb.dequantize_4bit(four, state)
        save_file(tensors, os.path.join(packed, 'model.safetensors'), metadata={'format': 'pt'})
        with open(os.path.join(path, 'config.json'), encoding='utf-8') as stream:
            settings = json.load(stream)
        settings['quantization_config'] = {
            'quant_method': 'bitsandbytes', 'load_in_4bit': True, 'bnb_4bit_quant_type': 'nf4',
            'bnb_4bit_use_double_quant': True, 'bnb_4bit_compute_dtype': 'float32'}
        with open(os.path.join(packed, 'config.json'), 'w', encoding='utf-8') as stream:
            json.dump(settings, stream)
        net = kind.from_pretrained(path, dtype=torch.float32).eval()
        net.load_state_dict(wide, strict=False)
        lora = lora_of(net, 11)
        lora.save_pretrained(adapter)
        wanted = theirs(lora, rows)
        model = f'{packed}+{adapter}'
        good &= compare(name + ' LoRA on NF4 f32', ours(program, model, 'f32', 'adapter', rows, folder),
                        wanted, 0.99999, 1e-4, 1e-4)
        good &= compare(name + ' LoRA on NF4 bf16', ours(program, model, 'bf16', 'adapter', rows, folder),
                        wanted, 0.999, 1e-2)
    return good


# ---- a whole slm train ------------------------------------------------------------------------------

def byte_tokenizer(folder):
    """A tokenizer of bytes with ChatML's markers, in the ids of the models above."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token='<|im_end|>',
                                   additional_special_tokens=['<|im_start|>', '<|im_end|>'])
    fast.chat_template = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                          "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
    fast.save_pretrained(folder)


def train(slm, base, folder):
    out, data = os.path.join(folder, 'out'), os.path.join(folder, 'data.jsonl')
    with open(data, 'w', encoding='utf-8') as stream:
        for i in range(24):
            stream.write(json.dumps({'messages': [
                {'role': 'user', 'content': f'It hurts, day {i}'},
                {'role': 'assistant', 'content': f'Where? Since when? {i}'}]}) + '\n')
    recipe = os.path.join(folder, 'recipe.yaml')
    with open(recipe, 'w', encoding='utf-8') as stream:
        stream.write(f'model: {base}\noutput: {out}\nlora: {{rank: 8, rank_stabilised: true}}\n'
                     f'sft: {{data: {data}, batch: 4, rows: 512, max_tokens: 256, rate: 5e-3}}\n')
    subprocess.run([slm, 'train', recipe, '--dtype', 'f32', '--quiet'], check=True,
                   stdout=subprocess.DEVNULL)
    return os.path.join(out, 'sft')


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(folder, size_guidance={'scalars': 0})
    events.Reload()
    with open(os.path.join(folder, 'metrics.jsonl'), encoding='utf-8') as stream:
        rows = [json.loads(line) for line in stream]
    good, count = True, 0
    for tag in events.Tags()['scalars']:
        key = tag.removeprefix('time/')
        wanted = {row['step']: (row['time'] if key != tag else row)[key] for row in rows
                  if key in (row['time'] if key != tag else row)}
        got = {item.step: item.value for item in events.Scalars(tag)}
        good &= set(got) == set(wanted) and all(
            abs(got[step] - value) <= 1e-6 * abs(value) for step, value in wanted.items())
        count += len(got)
    good &= 'loss' in events.Tags()['scalars'] and count > 0
    print(f'TensorBoard reads {count} numbers under {len(events.Tags()["scalars"])} tags, as metrics.jsonl '
          f'has them: {"ok" if good else "WRONG"}', flush=True)
    return good


def peft_logits(dump, kind, base, adapter, folder):
    ids_path, out = os.path.join(folder, 'logit-ids'), os.path.join(folder, 'logits')
    rows = [ids for _, ids in sequences()]
    with open(ids_path, 'w', encoding='ascii') as stream:
        stream.writelines(' '.join(map(str, row)) + '\n' for row in rows)
    subprocess.run([dump, f'{base}+{adapter}', 'f32', '', ids_path, out], check=True)
    got = torch.from_numpy(np.fromfile(out, dtype=np.float32).reshape(-1, 512)).double()
    net = kind.from_pretrained(base, dtype=torch.float32).eval()
    with torch.no_grad():
        plain = torch.cat([net(torch.tensor([row])).logits[0] for row in rows]).double()
        lora = PeftModel.from_pretrained(net, adapter).eval()
        wanted = torch.cat([lora(torch.tensor([row])).logits[0] for row in rows]).double()
    far, moved = float((got - wanted).abs().max()), float((plain - wanted).abs().max())
    good = far < 1e-3 and moved > 10 * far and torch.equal(got.argmax(1), wanted.argmax(1))
    print(f'peft on the trained adapter: logits within {far:.1e}, the adapter moved them by {moved:.1e}: '
          f'{"ok" if good else "WRONG"}', flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', default='build')
    parser.add_argument('--parts', default='families,nf4,run', help='some of families,nf4,run')
    args = parser.parse_args()
    parts = args.parts.split(',')
    torch.set_num_threads(1)  # for matrices this small a second thread only waits
    transformers.utils.logging.disable_progress_bar()
    program = os.path.join(args.build, 'tests/real/train_steps')
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        good = families(program, folder) if 'families' in parts else True
        good &= nf4(program, folder) if 'nf4' in parts else True
        for name in ('llama', 'qwen3') if 'run' in parts else ():
            base, own = os.path.join(folder, name), os.path.join(folder, name + '-run')
            os.makedirs(own)
            byte_tokenizer(base)
            stage = train(os.path.join(args.build, 'slm'), base, own)
            good &= tensorboard(stage)
            good &= peft_logits(os.path.join(args.build, 'tests/real/dump_logits'), FAMILIES[name][0], base,
                                os.path.join(stage, 'best'), own)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
