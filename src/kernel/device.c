/* device.c: choosing a path, its memory and its scratch.
 *
 * A path may be used when it was compiled in, the CPU has its instructions (CPUID, leaves 1 and 7)
 * and the operating system saves its registers (XGETBV; Intel 64 manual, volume 1, section 13.3 and
 * 15.2). Without a wish the fastest such path is taken; on Intel's CPUs that is avx512 rather than
 * avx512bf16, since VDPBF16PS (32 products) takes as long there as four FMA of 16 (measured on
 * Granite Rapids: 215 against 335 GFLOP/s for the same layer), while AMD's run it at full rate.
 *
 * Memory: small requests come from the C library; large ones (weights, the KV cache) are mapped
 * apart at a 2 MiB boundary with huge pages advised, since streaming weights through 4 KiB pages
 * costs TLB misses. Mapped pages are zero and take no memory until touched. Each allocation is
 * preceded by a 64-byte header that says how to release it. */
#include "kernel/kernel_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef SLM_KERNELS_REF_ONLY
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* ---- paths --------------------------------------------------------------------------------- */

typedef struct cpu_features {
    bool avx2, avx512, avx512bf16, amx;
    bool intel;
} cpu_features;

#ifndef SLM_KERNELS_REF_ONLY
static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

#ifndef SLM_KERNELS_REF_ONLY
/* Linux hands out the 8 KiB of tile registers only to a process that asked (arch/x86/xstate in the
 * kernel's documentation). Asking again changes nothing. */
static bool may_use_tiles(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}
#endif

static cpu_features read_features(void)
{
    cpu_features has = {false, false, false, false, false};
#ifndef SLM_KERNELS_REF_ONLY
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return has;
    has.intel = b == 0x756e6547 && d == 0x49656e69 && c == 0x6c65746e; /* "GenuineIntel" */
    if (!__get_cpuid(1, &a, &b, &c, &d)) return has;
    const unsigned need = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA OSXSAVE AVX F16C */
    if ((c & need) != need) return has;
    uint64_t saved = xcr0();
    if ((saved & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return has;
    has.avx2 = (b >> 5 & 1) != 0;
    const unsigned wide = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F DQ BW VL */
    has.avx512 = has.avx2 && (saved & 0xe6) == 0xe6 && (b & wide) == wide;
    const bool tiles = (d >> 22 & 1) != 0 && (d >> 24 & 1) != 0; /* AMX-BF16 AMX-TILE */
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        has.avx512bf16 = has.avx512 && (a >> 5 & 1) != 0;
    has.amx = has.avx512bf16 && tiles && (saved >> 17 & 3) == 3 && may_use_tiles();
#endif
    return has;
}

static slm_status choose_path(const char *wish, const slm_kernels **out, slm_error *err)
{
    const cpu_features has = read_features();
    const struct {
        const slm_kernels *table;
        bool usable, preferred;
    } paths[] = {
#ifndef SLM_KERNELS_REF_ONLY
        {&slm_kernel__amx, has.amx, true},
        {&slm_kernel__avx512bf16, has.avx512bf16, !has.intel},
        {&slm_kernel__avx512, has.avx512, true},
        {&slm_kernel__avx2, has.avx2, true},
#endif
        {&slm_kernel__ref, true, true},
    };
    (void)has;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (wish == NULL && !(paths[i].usable && paths[i].preferred)) continue;
        if (wish != NULL && strcmp(wish, paths[i].table->name) != 0) continue;
        if (!paths[i].usable)
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "kernels '%s': this CPU (or its operating system) lacks the "
                                 "instructions; leave --kernels out to use the best it has",
                                 wish);
        *out = paths[i].table;
        return SLM_OK;
    }
    return slm_error_set(err, SLM_ERR_UNSUPPORTED, "kernels '%s' are not in this build; it has %s",
                         wish, slm_device_kernel_names());
}

const char *slm_device_kernel_names(void)
{
#ifndef SLM_KERNELS_REF_ONLY
    return "ref|avx2|avx512|avx512bf16|amx";
#else
    return "ref";
#endif
}

/* ---- open and close ------------------------------------------------------------------------ */

slm_status slm_device_open(const slm_device_options *options, slm_device **out, slm_error *err)
{
    const slm_device_options defaults = {NULL, 0};
    if (options == NULL) options = &defaults;
    if (options->threads < 0 || options->threads > 256)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "threads is %d; it must be from 0 (all cores) to 256",
                             options->threads);
    const slm_kernels *table = NULL;
    SLM_TRY(choose_path(options->kernels, &table, err));
    slm_device *device = calloc(1, sizeof *device);
    if (device == NULL) slm_out_of_memory(sizeof *device);
    device->table = table;
    device->blocked = table != &slm_kernel__ref;
#ifndef SLM_KERNELS_REF_ONLY
    device->pairs = table == &slm_kernel__amx || table == &slm_kernel__avx512bf16;
#endif
    slm_status status = slm_threads_new(options->threads, &device->threads, err);
    if (status != SLM_OK) {
        free(device);
        return status;
    }
    device->thread_count = slm_threads_count(device->threads);
    *out = device;
    return SLM_OK;
}

void slm_device_close(slm_device *device)
{
    if (device == NULL) return;
    slm_device_free(device, device->scratch.mem);
    slm_device_free(device, device->head.mem);
    slm_device_free(device, device->rope.memory.mem);
    slm_threads_free(device->threads);
    free(device);
}

const char *slm_device_kernels(const slm_device *device)
{
    return device->table->name;
}

int slm_device_threads(const slm_device *device)
{
    return device->thread_count;
}

const slm_kernels *slm_device_table(const slm_device *device)
{
    return device->table;
}

bool slm_device_trains(const slm_device *device)
{
    return device->table->linear_dx != NULL;
}

/* ---- memory -------------------------------------------------------------------------------- */

enum { HEADER_BYTES = 64, HUGE_PAGE_BYTES = 2 << 20, LARGE_BYTES = 4 << 20 };

typedef struct memory_header {
    void *base;
    size_t bytes;        /* asked for */
    size_t mapped_bytes; /* 0: from the C library */
} memory_header;

slm_status slm_device_alloc(slm_device *device, size_t bytes, slm_mem *out, slm_error *err)
{
    memory_header header = {NULL, 0, 0};
    char *at = NULL;
    if (bytes > SIZE_MAX / 2) goto failed;
    if (bytes >= LARGE_BYTES) {
        size_t length = slm_kernel__round_up(bytes, HUGE_PAGE_BYTES) + 2 * HUGE_PAGE_BYTES;
        char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) goto failed;
        uintptr_t start = (uintptr_t)base + HEADER_BYTES;
        at = base + (slm_kernel__round_up(start, HUGE_PAGE_BYTES) - (uintptr_t)base);
#ifdef MADV_HUGEPAGE
        /* Advice only: where huge pages are switched off it fails and changes nothing. */
        (void)madvise(at, slm_kernel__round_up(bytes, HUGE_PAGE_BYTES), MADV_HUGEPAGE);
#endif
        header = (memory_header){base, bytes, length};
    } else {
        size_t length = slm_kernel__round_up(bytes, HEADER_BYTES) + HEADER_BYTES;
        char *base = aligned_alloc(HEADER_BYTES, length);
        if (base == NULL) goto failed;
        memset(base, 0, length);
        at = base + HEADER_BYTES;
        header = (memory_header){base, bytes, 0};
    }
    memcpy(at - HEADER_BYTES, &header, sizeof header);
    *out = (slm_mem){at};
    device->bytes += bytes;
    return SLM_OK;
failed:
    return slm_error_set(err, SLM_ERR_MEMORY,
                         "cannot allocate %zu bytes of memory; use a smaller model, batch or "
                         "context, or a machine with more memory",
                         bytes);
}

void slm_device_free(slm_device *device, slm_mem mem)
{
    if (mem.at == NULL) return;
    memory_header header;
    memcpy(&header, mem.at - HEADER_BYTES, sizeof header);
    device->bytes -= header.bytes;
    if (header.mapped_bytes > 0)
        munmap(header.base, header.mapped_bytes);
    else
        free(header.base);
}

size_t slm_device_bytes(const slm_device *device)
{
    return device->bytes;
}

void slm_device_upload(slm_device *device, slm_mem to, const void *from, size_t bytes)
{
    (void)device;
    if (bytes > 0) memcpy(to.at, from, bytes);
}

void slm_device_download(slm_device *device, void *to, slm_mem from, size_t bytes)
{
    (void)device;
    if (bytes > 0) memcpy(to, from.at, bytes);
}

/* ---- scratch and threads ------------------------------------------------------------------- */

void slm_kernel__reserve(slm_device *device, slm_kernel__scratch_memory *memory, size_t bytes)
{
    if (bytes <= memory->bytes) return;
    slm_device_free(device, memory->mem);
    *memory = (slm_kernel__scratch_memory){{NULL}, 0};
    size_t ask = bytes + bytes / 4; /* so that slowly growing calls do not allocate each time */
    if (slm_device_alloc(device, ask, &memory->mem, NULL) != SLM_OK) slm_out_of_memory(ask);
    memory->bytes = ask;
}

char *slm_kernel__scratch(slm_device *device, size_t bytes)
{
    slm_kernel__reserve(device, &device->scratch, bytes);
    return device->scratch.mem.at;
}

void slm_kernel__run(slm_device *device, size_t count, size_t grain, size_t work,
                     slm_threads_fn *fn, void *context)
{
    enum { WORTH_WAKING = 20000 }; /* waking a spinning worker costs a few thousand cycles */
    slm_threads_run(work < WORTH_WAKING ? NULL : device->threads, count, grain, fn, context);
}

/* ---- KV pages ------------------------------------------------------------------------------ */

size_t slm_kv_page_bytes(const slm_kv_shape *shape)
{
    return slm_kernel__kv_offset(shape, shape->layers, 0, 0);
}
