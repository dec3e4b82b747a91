/* names.c: one list of a layer's parts, and what each kind of file calls them.
 *
 * GGUF's names are those of its specification; a Hugging Face folder's are transformers' modules. */
#include <stdio.h>

#include "model_internal.h"

static const model__names gguf_names = {
    .embedding = "token_embd.weight",
    .final_norm = "output_norm.weight",
    .head = "output.weight",
    .layer = "blk.",
    .matrices = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"},
    .norms = {"attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"},
};

static const model__names folder_names = {
    .embedding = "model.embed_tokens.weight",
    .final_norm = "model.norm.weight",
    .head = "lm_head.weight",
    .layer = "model.layers.",
    .matrices = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                 "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
    .norms = {"input_layernorm", "post_attention_layernorm", "self_attn.q_norm",
              "self_attn.k_norm"},
};

const model__names *model__names_of(const slm_tensors *file)
{
    return file && !slm_tensors_folder(file) ? &gguf_names : &folder_names;
}

const model__names *model__gguf_names(void)
{
    return &gguf_names;
}

void model__layer_name(char out[MODEL_NAME_BYTES], const model__names *names, int layer,
                       const char *part, const char *suffix)
{
    snprintf(out, MODEL_NAME_BYTES, "%s%d.%s%s", names->layer, layer, part, suffix);
}

void model__matrix_shape(const slm_model_config *c, model__role role, int *rows, int *columns)
{
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const int shapes[MODEL_MATRICES][2] = {
        [MODEL_Q] = {q, c->embedding},
        [MODEL_K] = {kv, c->embedding},
        [MODEL_V] = {kv, c->embedding},
        [MODEL_OUTPUT] = {c->embedding, q},
        [MODEL_GATE] = {c->feed_forward, c->embedding},
        [MODEL_UP] = {c->feed_forward, c->embedding},
        [MODEL_DOWN] = {c->embedding, c->feed_forward},
    };
    *rows = shapes[role][0];
    *columns = shapes[role][1];
}
