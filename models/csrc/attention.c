/* Attention of every text of a batch over itself: bfloat16 in and out, with scores in float32.
 *
 * Each head of each text is computed by itself: its keys and values are laid out as tiles, for either
 * way to multiply by them (attention.h), then 32 queries at a time are scored against all keys, and
 * their softmax weighs all values. What was rotated for its position (transformer.py) is rotated on
 * the way into the tiles. By tiles most of the time goes into the softmax, a power for each pair of
 * tokens: so powers are made of integers, two to a lane.
 */

#include "attention.h"

#ifdef LOCKSTEP_X86

enum {
    KEYS = 128,         /* at a time: so that scores stay in the nearest cache */
    PLAIN_OCTAVES = 80, /* of 127: the rest is for sums of values, up to 2^38 by 512 tokens */
};

/* What a thread works with, for texts of `longest` tokens. */
struct scratch {
    bfloat16 *keys, *values; /* laid out; tokens a multiple of INPUTS */
    bfloat16 *queries;       /* (tokens, size) */
    float *scores;           /* (KEYS / 16, QUERIES, 16) */
    float *sums;             /* (size / 32, QUERIES, 32), of values weighed */
};

/* Cosines and sines of a position, (size / 2) each; or NULL. */
struct angles {
    const float *cosines, *sines;
};

/* ---- Into tiles ---- */

INLINE struct angles angles_at(const struct batch *batch, int position, int size) {
    struct angles none = {NULL, NULL};
    if (!batch->rotation)
        return none;
    const float *cosines = batch->rotation + (ptrdiff_t)position * (size / 2);
    struct angles at = {cosines, cosines + (ptrdiff_t)batch->turned * (size / 2)};
    return at;
}

/* One query or key: each pair (x_i, x_{i + size / 2}) turned by its position's angle. */
INLINE void copy_row(bfloat16 *to, const bfloat16 *from, int size, struct angles angles) {
    const int half = size / 2;
    if (!angles.cosines) {
        memcpy(to, from, (size_t)size * sizeof *to);
        return;
    }
    for (int i = 0; i < half; i += LANES) {
        const __m512 cosine = _mm512_loadu_ps(angles.cosines + i);
        const __m512 sine = _mm512_loadu_ps(angles.sines + i);
        const __m512 x = widen(from + i), y = widen(from + half + i);
        narrow(to + i, _mm512_fmsub_ps(x, cosine, _mm512_mul_ps(y, sine)));
        narrow(to + half + i, _mm512_fmadd_ps(y, cosine, _mm512_mul_ps(x, sine)));
    }
}

/* 16 rows of 32 features to a tile: pairs of features by rows, (16, 16, 2). */
INLINE void transpose(bfloat16 *to, const bfloat16 *from, ptrdiff_t width) {
    __m512i a[ROWS], b[ROWS];
    for (int i = 0; i < ROWS; i++)
        a[i] = _mm512_loadu_si512(from + i * width);
    for (int i = 0; i < ROWS; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < ROWS; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
        b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
        b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
        b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        __m512i even = _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88);
        __m512i odd = _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd);
        _mm512_store_si512(to + i * INPUTS, even);
        _mm512_store_si512(to + (i + 8) * INPUTS, odd);
    }
}

/* Tiles of 16 keys by 32 features, (tokens / 16, size / 32); missing keys are of zeros. Returns the
 * square of the longest. */
INLINE float lay_out_keys(const struct batch *batch, struct scratch at, const bfloat16 *from,
                          ptrdiff_t stride, int length, int size) {
    bfloat16 *keys = at.keys, *rows = (bfloat16 *)at.scores;
    __m512 longest = _mm512_setzero_ps();
    for (int first = 0; first < length; first += ROWS) {
        for (int row = 0; row < ROWS; row++) {
            bfloat16 *to = rows + row * size;
            const int token = first + row;
            if (token < length)
                copy_row(to, from + token * stride, size, angles_at(batch, token, size));
            else
                memset(to, 0, (size_t)size * sizeof *to);
        }
        __m512 squares = _mm512_setzero_ps(); /* by key */
        for (int feature = 0; feature < size; feature += INPUTS, keys += TILE) {
            transpose(keys, rows + feature, size);
            for (int pair = 0; pair < ROWS; pair++) {
                const __m512bh both = (__m512bh)_mm512_load_si512(keys + pair * INPUTS);
                squares = _mm512_dpbf16_ps(squares, both, both);
            }
        }
        longest = _mm512_max_ps(squares, longest);
    }
    return _mm512_reduce_max_ps(longest);
}

INLINE float square(const bfloat16 *row, int size) {
    __m512 squares = _mm512_setzero_ps();
    for (int i = 0; i < size; i += INPUTS) {
        const __m512bh some = (__m512bh)_mm512_loadu_si512(row + i);
        squares = _mm512_dpbf16_ps(squares, some, some);
    }
    return _mm512_reduce_add_ps(squares);
}

INLINE __m512i features_of(const bfloat16 *from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
}

/* Which of 32 tokens the first of a pair of weights is of: `powers` packs four of the first 16
 * beside four of the second. */
INLINE int token_of(int pair) { return pair / 4 * 4 + pair % 2 * 2 + (pair & 2 ? LANES : 0); }

/* Tiles of 32 values, in pairs, by 16 features, (tokens / 32, size / 16); missing are zeros. */
INLINE void lay_out_values(bfloat16 *values, const bfloat16 *from, ptrdiff_t stride, int length,
                           int size) {
    for (int first = 0; first < length; first += INPUTS)
        for (int feature = 0; feature < size; feature += LANES, values += TILE)
            for (int pair = 0; pair < ROWS; pair++) {
                const int token = first + token_of(pair);
                const bfloat16 *value = from + token * stride + feature;
                __m512i low = _mm512_setzero_si512(), high = low;
                if (token < length)
                    low = features_of(value);
                if (token + 1 < length)
                    high = _mm512_slli_epi32(features_of(value + stride), 16);
                _mm512_store_si512(values + pair * INPUTS, _mm512_or_si512(low, high));
            }
}

/* ---- A block of queries ---- */

/* By how much 2^f - 1 is less than f, in 128ths; of each 64th f. */
static const uint8_t LESS[64] __attribute__((aligned(64))) = {
    0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 5, 6, 6, 7, 7, 8,
    8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 10, 9, 9,
    9, 8, 8, 8, 7, 7, 6, 6, 5, 5, 4, 3, 3, 2, 1, 1,
};

/* bfloat16 of 2^y, 0.7% off at most, of 32 scores: 128 y + 127 * 128 is its exponent and, but for
 * `LESS`, its fraction. As weights lie: four of the first 16 beside four of the second. */
INLINE __m512i powers(__m512 low, __m512 high, __m512 scale, __m512 shift) {
    const __m512i first = _mm512_cvtps_epi32(_mm512_fmadd_ps(low, scale, shift));
    const __m512i second = _mm512_cvtps_epi32(_mm512_fmadd_ps(high, scale, shift));
    const __m512i linear = _mm512_packus_epi32(first, second); /* what is below 2^-127 is zero */
    const __m512i less = _mm512_maskz_permutexvar_epi8(
        0x5555555555555555, _mm512_srli_epi16(linear, 1), _mm512_load_si512(LESS));
    return _mm512_sub_epi16(linear, less);
}

/* Of a query, as far as keys have been read. */
struct softmax {
    float octave; /* weights are of 2^(scale * score - octave) */
    float sum;    /* of weights */
    int is_plain; /* octave 0 will do; otherwise the largest weight is between 1/2 and 1 */
};

/* 2^octaves, of whole ones, none above 0. */
INLINE float power_of_two(float octaves) {
    const uint32_t bits = octaves > -127.0f ? (uint32_t)(127 + (int)octaves) << 23 : 0;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* The largest of a query's scores. */
INLINE float largest(const float *scores, int length) {
    const __m512 none = _mm512_set1_ps(-__builtin_inff());
    __m512 most = none;
    for (int key = 0; key < length; key += LANES, scores += NEXT) {
        const int rest = length - key;
        const __mmask16 some = (__mmask16)(rest < LANES ? (1u << rest) - 1 : 0xffff);
        most = _mm512_max_ps(most, _mm512_mask_load_ps(none, some, scores));
    }
    return _mm512_reduce_max_ps(most);
}

/* A query's scores to weights, in place: 32 in bfloat16 where the first 16 of 32 scores were.
 * Returns their sum. */
INLINE float weigh(float *scores, int length, float scale, float octave) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    const __m512 by = _mm512_set1_ps(128 * scale), shift = _mm512_set1_ps(128 * (127 - octave));
    const int pairs = length / INPUTS, rest = length % INPUTS;
    float *last = scores + pairs * 2 * NEXT;
    __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 2
    for (float *at = scores; at < last; at += 2 * NEXT) {
        const __m512i weights = powers(_mm512_load_ps(at), _mm512_load_ps(at + NEXT), by, shift);
        sum = _mm512_dpbf16_ps(sum, (__m512bh)weights, ones);
        _mm512_store_si512(at, weights);
    }
    if (rest) {
        const __m512 none = _mm512_set1_ps(-__builtin_inff());
        const __mmask16 first = (__mmask16)(rest < LANES ? (1u << rest) - 1 : 0xffff);
        const __mmask16 second = (__mmask16)(rest > LANES ? (1u << (rest - LANES)) - 1 : 0);
        const __m512 low = _mm512_mask_load_ps(none, first, last);
        const __m512 high = _mm512_mask_load_ps(none, second, last + NEXT);
        const __m512i weights = powers(low, high, by, shift);
        sum = _mm512_dpbf16_ps(sum, (__m512bh)weights, ones);
        _mm512_store_si512(last, weights);
    }
    return _mm512_reduce_add_ps(sum);
}

/* Another octave for a query, if its scores want one. */
INLINE void change_octave(struct softmax *softmax, float *sums, float highest, int size) {
    const float octave = highest > softmax->octave ? __builtin_ceilf(highest) : softmax->octave;
    const float by = power_of_two(softmax->octave - octave);
    softmax->octave = octave;
    softmax->sum *= by;
    for (int i = 0; i < size; i += LANES) {
        float *sum = sums + i / INPUTS * INPUTS * QUERIES + i % INPUTS;
        _mm512_store_ps(sum, _mm512_mul_ps(_mm512_load_ps(sum), _mm512_set1_ps(by)));
    }
}

/* Queries from `first` on, up to 16 times `blocks`. `longest` is the square of the longest key. */
INLINE void attend_some(const struct attention *attention, struct scratch at, bfloat16 *to,
                        float longest, int first, int length, int size, int blocks) {
    const ptrdiff_t width = (ptrdiff_t)attention->heads * size;
    const int some = length - first < blocks * ROWS ? length - first : blocks * ROWS;
    const float scale = 1.44269504f / __builtin_sqrtf((float)size); /* of 2, not of e */
    const float plain = PLAIN_OCTAVES * PLAIN_OCTAVES / (longest * scale * scale);
    struct softmax softmax[QUERIES];
    for (int query = 0; query < some; query++) {
        const bfloat16 *row = at.queries + (first + query) * size;
        /* No score is larger than the product of both lengths. */
        softmax[query].is_plain = square(row, size) <= plain;
        softmax[query].octave = softmax[query].is_plain ? 0 : -__builtin_inff();
        softmax[query].sum = 0;
    }
    for (int key = 0; key < length; key += KEYS) {
        const int keys = length - key < KEYS ? length - key : KEYS;
        const bfloat16 *rows = at.queries + first * size, *some_keys = at.keys + key * size;
        if (attention->way == TILES)
            score_by_tiles(at.scores, rows, some_keys, keys, size, blocks);
        else
            score_by_dots(at.scores, rows, some_keys, keys, size, some);
        for (int query = 0; query < some; query++) {
            float *scores = at.scores + query * LANES;
            if (!softmax[query].is_plain)
                change_octave(softmax + query, at.sums + query * INPUTS,
                              scale * largest(scores, keys), size);
            softmax[query].sum += weigh(scores, keys, scale, softmax[query].octave);
        }
        for (int i = 0; i < size; i += INPUTS) {
            const bfloat16 *values = at.values + key * size + i / LANES * TILE;
            float *sums = at.sums + i * QUERIES;
            if (attention->way == TILES)
                blend_by_tiles(sums, at.scores, values, keys, size, blocks, key > 0);
            else
                blend_by_dots(sums, at.scores, values, keys, size, some, key > 0);
        }
    }
    for (int query = 0; query < some; query++) {
        const __m512 by = _mm512_set1_ps(1.0f / softmax[query].sum);
        for (int i = 0; i < size; i += INPUTS) {
            const float *sum = at.sums + i * QUERIES + query * INPUTS;
            const __m512 low = _mm512_mul_ps(_mm512_load_ps(sum), by);
            const __m512 high = _mm512_mul_ps(_mm512_load_ps(sum + LANES), by);
            _mm512_storeu_si512(to + (first + query) * width + i,
                                (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
    }
}

/* ---- A batch ---- */

/* One part of the queries of a head. */
INLINE void attend_part(const struct attention *attention, struct scratch at, int text, int head,
                        int part, int size) {
    const struct batch *batch = attention->batch;
    const ptrdiff_t width = (ptrdiff_t)attention->heads * size;
    const ptrdiff_t start = batch->starts[text];
    const int length = (int)(batch->starts[text + 1] - start);
    const bfloat16 *from = attention->projected + start * 3 * width + head * size;
    bfloat16 *to = attention->attended + start * width + head * size;
    const int blocks = (length + QUERIES - 1) / QUERIES, parts = attention->parts;
    const int end = blocks * (part + 1) / parts * QUERIES;
    int first = blocks * part / parts * QUERIES;
    if (first == end)
        return;
    /* Again for each part: less than waiting for another thread's. */
    const float longest = lay_out_keys(batch, at, from + width, 3 * width, length, size);
    lay_out_values(at.values, from + 2 * width, 3 * width, length, size);
    for (int query = first; query < end && query < length; query++)
        copy_row(at.queries + query * size, from + query * 3 * width, size,
                 angles_at(batch, query, size));
    for (; first < end; first += QUERIES)
        if (length - first > ROWS)
            attend_some(attention, at, to, longest, first, length, size, 2);
        else
            attend_some(attention, at, to, longest, first, length, size, 1);
}

static ptrdiff_t in_tiles(int tokens) { return (tokens + INPUTS - 1) / INPUTS * (ptrdiff_t)INPUTS; }

ptrdiff_t attention_bytes(int longest, int size) {
    const ptrdiff_t tokens = in_tiles(longest);
    return 3 * tokens * size * (ptrdiff_t)sizeof(bfloat16) +
           QUERIES * (KEYS + size) * (ptrdiff_t)sizeof(float);
}

TARGET void attend(const struct attention *attention, char *memory, int *next) {
    const ptrdiff_t size = attention->size, tokens = in_tiles(attention->batch->longest);
    const int parts = attention->parts, heads = attention->heads;
    struct scratch at = {.keys = (bfloat16 *)memory};
    at.values = at.keys + tokens * size;
    at.queries = at.values + tokens * size;
    at.scores = (float *)(at.queries + tokens * size);
    at.sums = at.scores + QUERIES * KEYS;
    for (;;) {
        const int item = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
        if (item >= attention->batch->texts * heads * parts)
            break;
        const int part = item % parts, head = item / parts % heads, text = item / parts / heads;
        if (size == 32) /* most models', compiled for themselves */
            attend_part(attention, at, text, head, part, 32);
        else if (size == 64)
            attend_part(attention, at, text, head, part, 64);
        else
            attend_part(attention, at, text, head, part, attention->size);
    }
}

#endif
