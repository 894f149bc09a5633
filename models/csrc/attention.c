/* Attention of every text of a batch over itself, all heads, in one call: bfloat16 in and out, with
 * scores, softmax and sums in float32. attention.py says why, and calls it.
 *
 * Texts lie one after another in a line of tokens, so nothing is padded and no mask is needed. Each
 * head of each text is computed by itself, on the processor's matrix tiles (AMX): its keys and
 * values are laid out as tiles, then 32 queries at a time are scored against all keys, and their
 * softmax weighs all values. What was rotated for its position (transformer.py) is rotated on the
 * way into the tiles. Most of the time goes into the softmax: an exponential for each pair of
 * tokens.
 */

#include "native.h"

#ifdef LOCKSTEP_X86

enum {
    QUERIES = 2 * ROWS,     /* at a time: each tile of keys and values is read for all of them */
    NEXT = QUERIES * LANES, /* from a query's scores of 16 keys to those of the next 16 */
};

/* What a thread works with, for texts of `longest` tokens. */
struct scratch {
    bfloat16 *keys, *values; /* laid out; tokens a multiple of INPUTS */
    bfloat16 *rows;          /* (QUERIES, size) */
    float *scores;           /* (tokens / 16, QUERIES, 16) */
};

/* Cosines and sines of a position, (size / 2) each; or NULL. */
struct angles {
    const float *cosines, *sines;
};

/* 2^y, 2e-4 of it off at most, which bfloat16 can't tell: by a polynomial fitted to its fraction. */
INLINE __m512 power_of_two(__m512 y) {
    const __m512 f = _mm512_reduce_ps(y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); /* 0 to 1 */
    __m512 power = _mm512_set1_ps(7.91934e-2f);
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(2.241384e-1f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(6.963643e-1f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(9.999072e-1f));
    return _mm512_scalef_ps(power, y); /* which takes the floor of y */
}

/* ---- Into tiles ---- */

INLINE struct angles angles_at(const struct texts *texts, int position, int size) {
    struct angles none = {NULL, NULL};
    if (!texts->rotation)
        return none;
    const float *cosines = texts->rotation + (ptrdiff_t)position * (size / 2);
    struct angles at = {cosines, cosines + (ptrdiff_t)texts->longest * (size / 2)};
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

/* Tiles of 16 keys by 32 features, (tokens / 16, size / 32); missing keys are of zeros. */
INLINE void lay_out_keys(const struct texts *texts, struct scratch at, const bfloat16 *from,
                         ptrdiff_t stride, int length, int size) {
    bfloat16 *keys = at.keys;
    for (int first = 0; first < length; first += ROWS) {
        for (int row = 0; row < ROWS; row++) {
            bfloat16 *to = at.rows + row * size;
            const int token = first + row;
            if (token < length)
                copy_row(to, from + token * stride, size, angles_at(texts, token, size));
            else
                memset(to, 0, (size_t)size * sizeof *to);
        }
        for (int feature = 0; feature < size; feature += INPUTS, keys += TILE)
            transpose(keys, at.rows + feature, size);
    }
}

INLINE __m512i features_of(const bfloat16 *from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
}

/* Tiles of 32 values, in pairs, by 16 features, (tokens / 32, size / 16); missing ones are zeros. */
INLINE void lay_out_values(bfloat16 *values, const bfloat16 *from, ptrdiff_t stride, int length,
                           int size) {
    for (int first = 0; first < length; first += INPUTS)
        for (int feature = 0; feature < size; feature += LANES, values += TILE)
            for (int row = 0; row < INPUTS; row += 2) {
                const int token = first + row;
                const bfloat16 *pair = from + token * stride + feature;
                __m512i low = _mm512_setzero_si512(), high = low;
                if (token < length)
                    low = features_of(pair);
                if (token + 1 < length)
                    high = _mm512_slli_epi32(features_of(pair + stride), 16);
                _mm512_store_si512(values + row * LANES, _mm512_or_si512(low, high));
            }
}

/* ---- A block of queries ---- */

/* Two tiles of keys at a time, the second of which may be of no key: `weigh` leaves it out. */
INLINE void score(struct scratch at, int length, int size, int blocks) {
    const int depth = size / INPUTS;
    const bfloat16 *keys = at.keys;
    float *scores = at.scores;
    STORED();
    for (int key = 0; key < length; key += 2 * LANES, scores += 2 * NEXT, keys += 2 * depth * TILE) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int k = 0; k < depth; k++) {
            _tile_loadd(4, at.rows + k * INPUTS, size * 2);
            _tile_loadd(6, keys + k * TILE, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, keys + (depth + k) * TILE, 64);
            _tile_dpbf16ps(2, 4, 7);
            if (blocks > 1) {
                _tile_loadd(5, at.rows + ROWS * size + k * INPUTS, size * 2);
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

INLINE __m512 weight(const float *score, __m512 scale, __m512 less) {
    return power_of_two(_mm512_fmadd_ps(_mm512_load_ps(score), scale, less));
}

/* A query's scores to 2^(scale * (score - the largest)), in place: 32 in bfloat16 where the first
 * 16 of 32 scores were. Returns what makes their sum one. (Beyond 2^30 the difference, of products
 * one of which is rounded, would be too far off.) */
INLINE float weigh(float *scores, int length, float scale) {
    const __m512 none = _mm512_set1_ps(-__builtin_inff());
    const int pairs = length / INPUTS, rest = length % INPUTS;
    const __mmask16 first = (__mmask16)(rest < LANES ? (1u << rest) - 1 : 0xffff);
    const __mmask16 second = (__mmask16)(rest > LANES ? (1u << (rest - LANES)) - 1 : 0);
    float *last = scores + pairs * 2 * NEXT;
    __m512 most = none, other = none;
    for (float *at = scores; at < last; at += 2 * NEXT) {
        most = _mm512_max_ps(most, _mm512_load_ps(at));
        other = _mm512_max_ps(other, _mm512_load_ps(at + NEXT));
    }
    if (rest) {
        most = _mm512_max_ps(most, _mm512_mask_load_ps(none, first, last));
        other = _mm512_max_ps(other, _mm512_mask_load_ps(none, second, last + NEXT));
    }
    const __m512 by = _mm512_set1_ps(scale);
    const __m512 less =
        _mm512_set1_ps(-scale * _mm512_reduce_max_ps(_mm512_max_ps(most, other)));
    __m512 sum = _mm512_setzero_ps(), added = sum;
#pragma GCC unroll 2
    for (float *at = scores; at < last; at += 2 * NEXT) {
        const __m512 low = weight(at, by, less), high = weight(at + NEXT, by, less);
        sum = _mm512_add_ps(sum, low);
        added = _mm512_add_ps(added, high);
        _mm512_store_si512(at, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    if (rest) {
        const __m512 low = _mm512_maskz_mov_ps(first, weight(last, by, less));
        const __m512 high = _mm512_maskz_mov_ps(second, weight(last + NEXT, by, less));
        sum = _mm512_add_ps(sum, low);
        added = _mm512_add_ps(added, high);
        _mm512_store_si512(last, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    return 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(sum, added));
}

/* 32 features of all values, weighed: (QUERIES, 32). */
INLINE void blend(float *sums, const float *weights, const bfloat16 *values, int length, int size,
                  int blocks) {
    STORED();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
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

/* Queries from `first` on, up to 16 times `blocks`. */
INLINE void attend(const struct texts *texts, struct scratch at, const bfloat16 *from, bfloat16 *to,
                   int first, int length, int size, int blocks) {
    const ptrdiff_t width = (ptrdiff_t)texts->heads * size;
    const int some = length - first < blocks * ROWS ? length - first : blocks * ROWS;
    const float scale = 1.44269504f / __builtin_sqrtf((float)size); /* of 2, not of e */
    float inverse[QUERIES], sums[QUERIES * INPUTS] __attribute__((aligned(64)));
    for (int query = 0; query < some; query++)
        copy_row(at.rows + query * size, from + (first + query) * 3 * width, size,
                 angles_at(texts, first + query, size));
    score(at, length, size, blocks);
    for (int query = 0; query < some; query++)
        inverse[query] = weigh(at.scores + query * LANES, length, scale);
    for (int feature = 0; feature < size; feature += INPUTS) {
        blend(sums, at.scores, at.values + feature / LANES * TILE, length, size, blocks);
        for (int query = 0; query < some; query++) {
            const float *sum = sums + query * INPUTS;
            const __m512 by = _mm512_set1_ps(inverse[query]);
            bfloat16 *attended = to + (first + query) * width + feature;
            narrow(attended, _mm512_mul_ps(_mm512_load_ps(sum), by));
            narrow(attended + LANES, _mm512_mul_ps(_mm512_load_ps(sum + LANES), by));
        }
    }
}

/* ---- A batch ---- */

INLINE void head(const struct texts *texts, struct scratch at, int text, int head, int size) {
    const ptrdiff_t width = (ptrdiff_t)texts->heads * size;
    const ptrdiff_t start = texts->starts[text];
    const int length = (int)(texts->starts[text + 1] - start);
    const bfloat16 *from = texts->projected + start * 3 * width + head * size;
    bfloat16 *to = texts->attended + start * width + head * size;
    lay_out_keys(texts, at, from + width, 3 * width, length, size);
    lay_out_values(at.values, from + 2 * width, 3 * width, length, size);
    for (int first = 0; first < length; first += QUERIES)
        if (length - first > ROWS)
            attend(texts, at, from, to, first, length, size, 2);
        else
            attend(texts, at, from, to, first, length, size, 1);
}

static ptrdiff_t in_tiles(int tokens) { return (tokens + INPUTS - 1) / INPUTS * (ptrdiff_t)INPUTS; }

TARGET static void heads(const struct texts *texts, char *memory, int *next) {
    const ptrdiff_t size = texts->size, tokens = in_tiles(texts->longest);
    struct scratch at = {.keys = (bfloat16 *)memory};
    at.values = at.keys + tokens * size;
    at.rows = at.values + tokens * size;
    at.scores = (float *)(at.rows + QUERIES * size);
    configure_tiles(ROWS);
    for (;;) {
        const int item = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
        if (item >= texts->count * texts->heads)
            break;
        const int text = item / texts->heads, of = item % texts->heads;
        if (size == 32) /* most models', compiled for themselves */
            head(texts, at, text, of, 32);
        else if (size == 64)
            head(texts, at, text, of, 64);
        else
            head(texts, at, text, of, texts->size);
    }
    _tile_release();
}

/* Bytes of what `heads` works with. */
int64_t lockstep_scratch_bytes(int longest, int size) {
    const ptrdiff_t tokens = in_tiles(longest);
    return (2 * tokens + QUERIES) * size * (ptrdiff_t)sizeof(bfloat16) +
           QUERIES * tokens * (ptrdiff_t)sizeof(float);
}

/* Threads, torch's own and as many, take the next head of a text each. */
void lockstep_attend(const struct texts *texts) {
    int next = 0;
#pragma omp parallel if (texts->threads > 1)
    {
        int thread = 0;
#ifdef _OPENMP
        thread = omp_get_thread_num();
#endif
        if (thread < texts->threads)
            heads(texts, texts->scratch + (ptrdiff_t)thread * texts->scratch_bytes, &next);
    }
}

#else

int64_t lockstep_scratch_bytes(int longest, int size) { return (int64_t)longest * size; }

void lockstep_attend(const struct texts *texts) { (void)texts; }

#endif
