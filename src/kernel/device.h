/* device.h: a part of kernel.h: devices, their memory, and weights. */
#ifndef SLM_KERNEL_DEVICE_H
#define SLM_KERNEL_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "tensor/tensor.h"

/* ---- devices and memory -------------------------------------------------------------------- */

typedef struct slm_device slm_device;

/* A device address. Offsets in bytes may be added; only the device's own code may dereference. */
typedef struct slm_mem {
    char *at;
} slm_mem;
static inline slm_mem slm_mem_at(slm_mem mem, size_t byte_offset)
{
    return (slm_mem){mem.at + byte_offset};
}

typedef struct slm_device_options {
    const char *kernels; /* NULL: the fastest on this CPU; else one of the names below */
    int threads;         /* 0: the cores this process may use */
} slm_device_options;

/* SLM_ERR_UNSUPPORTED names what the CPU or build lacks. */
slm_status slm_device_open(const slm_device_options *options, slm_device **out, slm_error *err);
void slm_device_close(slm_device *device);
/* The path in use: part of a run's hash. */
const char *slm_device_kernels(const slm_device *device);
int slm_device_threads(const slm_device *device);
/* "ref|avx2|avx512|avx512bf16|amx": those compiled in, for help texts. */
const char *slm_device_kernel_names(void);

/* Zeroed memory aligned to 64 bytes (huge pages where they are to be had when large). */
slm_status slm_device_alloc(slm_device *device, size_t bytes, slm_mem *out, slm_error *err);
void slm_device_free(slm_device *device, slm_mem mem); /* {NULL} is allowed */
/* Bytes that were asked for and are not freed, the device's own scratch among them. */
size_t slm_device_bytes(const slm_device *device);
void slm_device_upload(slm_device *device, slm_mem to, const void *from, size_t bytes);
void slm_device_download(slm_device *device, void *to, slm_mem from, size_t bytes); /* waits */

/* ---- weights ------------------------------------------------------------------------------- */

/* A matrix W[n,k] in the device's own layout, packed once: the only copy of these numbers. */
typedef struct slm_weight slm_weight;

/* Read n rows of k numbers of any file dtype (data as in slm_tensor) and keep them as `keep`:
 * SLM_F32 or SLM_BF16 (rounded to nearest even). ref keeps row-major. */
slm_status slm_weight_pack(slm_device *device, slm_dtype from, const void *data, size_t n, size_t k,
                           slm_dtype keep, slm_weight **out, slm_error *err);
/* The same from a file's tensor [n,k], which may also be NF4. A type that is no weight's is
 * SLM_ERR_UNSUPPORTED. */
slm_status slm_weight_pack_tensor(slm_device *device, const slm_tensor *tensor, slm_dtype keep,
                                  slm_weight **out, slm_error *err);
/* The same, keeping a quantised tensor in its own whole numbers and scales, which every operation
 * reads as `as`: to the bit what slm_weight_pack_tensor(.., as, ..) gives, in about the file's bytes.
 * A tensor that is not quantised, or cannot be kept (NF4 with rows or scales of no multiple of 32),
 * is widened; slm_weight_stored tells. */
slm_status slm_weight_pack_quantised(slm_device *device, const slm_tensor *tensor, slm_dtype as,
                                     slm_weight **out, slm_error *err);
/* Whether linears over quantised weights are, by and large, no slower here than over widened ones. */
bool slm_device_prefers_quantised(const slm_device *device, slm_dtype as);
/* slm_weight_bytes of what the two functions above would make, quantised or widened. */
size_t slm_weight_packed_bytes(const slm_tensor *tensor, slm_dtype as, bool quantised);
void slm_weight_free(slm_weight *weight);
size_t slm_weight_rows(const slm_weight *weight);      /* n */
size_t slm_weight_columns(const slm_weight *weight);   /* k */
slm_dtype slm_weight_dtype(const slm_weight *weight);  /* what it is computed as: F32 or BF16 */
slm_dtype slm_weight_stored(const slm_weight *weight); /* what its numbers are kept as */
size_t slm_weight_bytes(const slm_weight *weight);

#endif
