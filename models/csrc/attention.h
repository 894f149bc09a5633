/* The two products of attention: of queries and keys, and of weights and values. For up to 32
 * queries: by tiles in one or two blocks of 16, by dot products just those there are.
 */

#ifndef LOCKSTEP_ATTENTION_H
#define LOCKSTEP_ATTENTION_H

#include "encoder.h"

#ifdef LOCKSTEP_X86

enum {
    QUERIES = 2 * ROWS,     /* at a time: each tile of keys and values is read for all of them */
    NEXT = QUERIES * LANES, /* from a query's scores of 16 keys to those of the next 16 */
};

/* Two tiles of keys at a time, the second of which may be of no key: `weigh` leaves it out. */
INLINE void score_by_tiles(float *scores, const bfloat16 *rows, const bfloat16 *keys, int length,
                           int size, int blocks) {
    const int depth = size / INPUTS;
    STORED();
    for (int key = 0; key < length;
         key += 2 * LANES, scores += 2 * NEXT, keys += 2 * depth * TILE) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int k = 0; k < depth; k++) {
            _tile_loadd(4, rows + k * INPUTS, size * 2);
            _tile_loadd(6, keys + k * TILE, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, keys + (depth + k) * TILE, 64);
            _tile_dpbf16ps(2, 4, 7);
            if (blocks > 1) {
                _tile_loadd(5, rows + ROWS * size + k * INPUTS, size * 2);
                _tile_dpbf16ps(1, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        _tile_stored(0, scores, 64);
        _tile_stored(2, scores + NEXT, 64);
        if (blocks > 1) {
            _tile_stored(1, scores + ROWS * LANES, 64);
            _tile_stored(3, scores + NEXT + ROWS * LANES, 64);
        }
    }
    STORED();
}

INLINE void score_by_dots(float *scores, const bfloat16 *rows, const bfloat16 *keys, int length,
                          int size, int queries) {
    const int depth = size / INPUTS;
    struct dots dots = {
        .rows = rows,
        .tiles = keys,
        .sums = scores,
        .row = size,
        .next = INPUTS,
        .beside = depth * TILE,
        .below = TILE,
        .ahead = 2 * depth * TILE,
        .sums_row = LANES,
        .sums_beside = NEXT,
        .depth = depth,
    };
    for (int key = 0; key < length; key += 2 * LANES) {
        dot(&dots, queries);
        dots.sums += 2 * NEXT;
        dots.tiles += 2 * depth * TILE;
    }
}

/* 32 features of values, weighed and added to earlier sums, if there are any: (QUERIES, 32). */
INLINE void blend_by_tiles(float *sums, const float *weights, const bfloat16 *values, int length,
                           int size, int blocks, int earlier) {
    STORED();
    if (earlier) {
        _tile_loadd(0, sums, 128);
        _tile_loadd(1, sums + ROWS * INPUTS, 128);
        _tile_loadd(2, sums + LANES, 128);
        _tile_loadd(3, sums + ROWS * INPUTS + LANES, 128);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int token = 0; token < length; token += INPUTS) {
        _tile_loadd(4, weights, 64);
        _tile_loadd(6, values, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, values + TILE, 64);
        _tile_dpbf16ps(2, 4, 7);
        if (blocks > 1) {
            _tile_loadd(5, weights + ROWS * LANES, 64);
            _tile_dpbf16ps(1, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        weights += 2 * NEXT;
        values += size / LANES * TILE;
    }
    _tile_stored(0, sums, 128);
    _tile_stored(2, sums + LANES, 128);
    if (blocks > 1) {
        _tile_stored(1, sums + ROWS * INPUTS, 128);
        _tile_stored(3, sums + ROWS * INPUTS + LANES, 128);
    }
    STORED();
}

INLINE void blend_by_dots(float *sums, const float *weights, const bfloat16 *values, int length,
                          int size, int queries, int earlier) {
    const struct dots dots = {
        .rows = (const bfloat16 *)weights,
        .tiles = values,
        .sums = sums,
        .row = INPUTS,
        .next = 4 * NEXT,
        .beside = TILE,
        .below = size / LANES * TILE,
        .ahead = 2 * TILE,
        .sums_row = INPUTS,
        .sums_beside = LANES,
        .depth = (length + INPUTS - 1) / INPUTS,
        .earlier = earlier,
    };
    dot(&dots, queries);
}

#endif
#endif
