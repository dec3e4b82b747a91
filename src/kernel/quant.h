/* quant.h: weights kept in the whole numbers and scales of their file.
 *
 * 16 outputs form a panel, as in widened weights; k runs in groups of 32, and groups that share a
 * scale in the file form a super block. A panel is its super blocks in order of k:
 *
 *     super   { 16 d [, 16 m] }  then its groups          f16; NF4: 16 scales in f32
 *     group   { [16 s, 16 minima] or [16 s, 16 s] }  then its codes      bytes; K types alone
 *     codes   32 vectors of 16 lanes, a number each
 *
 * A vector's lanes are 16 outputs at one k ("plain": vector v is k = v), or 8 outputs at a pair of k
 * ("pairs": vector v holds k = 2 (v/2) and the next, outputs 0..7 if v is even, else 8..15; a lane's
 * k is the even one if the lane is even), so that two vectors rounded to bf16 lie as the bf16
 * instructions want them. Lane l's numbers stand in the l-th 32 bits: four bits of vector v in word
 * v/8 at 4 (v%8); what more bits there are, behind: one bit of v at v, or two in word v/16 at
 * 2 (v%16). Numbers of 8 bits: byte l of vector v.
 *
 * The sizes are the file's own, but for Q4_K and Q5_K (4 bytes more in 256 numbers, for scales
 * unpacked from 6 bits to 8) and NF4 (scales in f32). */
#ifndef SLM_KERNEL_QUANT_H
#define SLM_KERNEL_QUANT_H

#include "tensor/tensor.h"

enum { SLM_KERNEL_GROUP = 32 }; /* numbers of one output in a group */

typedef struct slm_kernel__quant {
    slm_dtype dtype;
    slm_dtype as;       /* SLM_BF16: every number is rounded to it; SLM_F32 */
    slm_dtype rounded;  /* NF4: what a number is rounded to before */
    bool pairs;         /* how lanes are laid; else plain */
    size_t super;       /* numbers of one output in a super block; 0: weights are not kept so */
    size_t head_bytes;  /* of a super block, before its groups */
    size_t group_bytes; /* of a group, its own head included */
    size_t super_bytes;
    float codes[16]; /* NF4: what the codes stand for */
} slm_kernel__quant;

/* How to keep the tensor [n,k]; false if it cannot be kept (its type is not quantised, or NF4 whose
 * rows or scales are no multiples of 32). */
bool slm_kernel__quant_layout(const slm_tensor *tensor, slm_dtype as, bool pairs,
                              slm_kernel__quant *out);
/* Bytes of a panel of 16 outputs of k numbers. */
size_t slm_kernel__quant_bytes(const slm_kernel__quant *quant, size_t k);
/* Fill the panel of outputs [16 panel, 16 panel + 16) of the tensor; outputs past its last are 0. */
void slm_kernel__quant_pack(const slm_kernel__quant *quant, const slm_tensor *tensor, size_t panel,
                            char *to);
/* out[k] = the numbers of one output (0..15) of a panel, as slm_tensor_read gives them, rounded if
 * `as` says so. */
void slm_kernel__quant_row(const slm_kernel__quant *quant, const char *panel, size_t output,
                           size_t k, float *out);

#endif
