/* amx.h: setting up the AMX matrix unit's tiles; to be included first: it turns the unit's
 * instructions on for the rest of the file. */
#ifndef SLM_KERNEL_AMX_H
#define SLM_KERNEL_AMX_H

#pragma GCC target("amx-tile,amx-bf16")
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { AMX_TILES = 8, AMX_ROWS = 16, AMX_ROW_BYTES = 64 };

/* Palette 1 of LDTILECFG (Intel SDM, volume 2): every tile rows[t] rows of bytes[t] bytes. */
static inline void amx_configure_bytes(const uint8_t rows[AMX_TILES],
                                       const uint16_t bytes[AMX_TILES])
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int t = 0; t < AMX_TILES; t++) {
        config.bytes[t] = bytes[t];
        config.rows[t] = rows[t];
    }
    __asm__ volatile("" : : "r"(&config) : "memory"); /* the whole struct is written by now */
    _tile_loadconfig(&config);
}

static inline void amx_configure(const uint8_t rows[AMX_TILES])
{
    uint16_t bytes[AMX_TILES];
    for (int t = 0; t < AMX_TILES; t++)
        bytes[t] = AMX_ROW_BYTES;
    amx_configure_bytes(rows, bytes);
}

#endif
