/* The steps of a recurrence, each of which waits for the one before: one layer over a batch, in
 * bfloat16, with sums, gates and memory in float32. steps.py says why, and calls it.
 *
 * Texts lie as a PackedSequence of torch's has them: the first token of every text, longest text
 * first, then the second of those that have one, and so on. So a step reads and writes rows that
 * lie side by side, and nothing is computed for a text that has ended.
 *
 * The last tile of a row of states may reach into the next row, against weights of zero: so by tiles a
 * state that isn't a number makes that of the text before it none either.
 *
 * A step's product with the weights is the larger half of it. Weights come in tiles of 32 inputs by
 * 16 units, those that a unit's state is made of side by side (lay_out in steps.py), so they are
 * read once and in order, and its gates follow while its sums are still at hand. Two ways: the
 * processor's matrix tiles (AMX), or its dot products of bfloat16 pairs (AVX512-BF16).
 */

#include "native.h"

#ifdef LOCKSTEP_X86

enum {
    COLUMNS = 4, /* tiles side by side, at most */
    AT_ONCE = 4, /* texts whose dot products are summed at once, at most */
    WORTH = 8,   /* texts for which another thread is worth its while */
};

/* Of up to 2 * ROWS texts, which are read against each tile of weights; by column. */
typedef float sums[COLUMNS][2 * ROWS][LANES];

/* ---- Numbers ---- */

INLINE __m512 one(void) { return _mm512_set1_ps(1.0f); }

INLINE __m512 minus(__m512 x) { return _mm512_sub_ps(_mm512_setzero_ps(), x); }

/* e^x, 7e-6 of it off at most: 2^n * 2^f, |f| <= 1/2, by a polynomial fitted to 2^f. No more than
 * e^40, which is beyond what a gate can tell from 1; what isn't a number stays none. */
INLINE __m512 exponential(__m512 x) {
    __m512 bounded = _mm512_max_ps(_mm512_set1_ps(-80.0f), _mm512_min_ps(_mm512_set1_ps(40.0f), x));
    __m512 y = _mm512_mul_ps(bounded, _mm512_set1_ps(1.44269504f));
    __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(y, n);
    __m512 power = _mm512_set1_ps(9.6004e-3f);
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(5.591689e-2f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(2.4023718e-1f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(6.9312199e-1f));
    power = _mm512_fmadd_ps(power, f, one());
    return _mm512_scalef_ps(power, n);
}

/* 1 / (1 + e^-x). A memory is multiplied by it at every step, so the quotient, 6e-5 off, is mended. */
INLINE __m512 sigmoid(__m512 x) {
    __m512 divisor = _mm512_add_ps(one(), exponential(minus(x)));
    __m512 quotient = _mm512_rcp14_ps(divisor);
    return _mm512_mul_ps(quotient, _mm512_fnmadd_ps(divisor, quotient, _mm512_set1_ps(2.0f)));
}

/* sigmoid(x) * tanh(y), by one quotient, which is left 6e-5 of it off: bfloat16 is so by 4e-3. */
INLINE __m512 gated_tanh(__m512 x, __m512 y) {
    __m512 gate = _mm512_add_ps(one(), exponential(minus(x)));
    __m512 power = exponential(minus(_mm512_add_ps(y, y)));
    __m512 quotient = _mm512_rcp14_ps(_mm512_fmadd_ps(gate, power, gate));
    return _mm512_mul_ps(_mm512_sub_ps(one(), power), quotient);
}

INLINE __m512 tanh_of(__m512 x) {
    __m512 power = exponential(minus(_mm512_add_ps(x, x)));
    return _mm512_mul_ps(_mm512_sub_ps(one(), power),
                         _mm512_rcp14_ps(_mm512_add_ps(one(), power)));
}

/* ---- Products: states (texts, width) by a strip of weights (depth * INPUTS, columns * LANES) ---- */

#define STORE(tile, column, row) _tile_stored(tile, z[column][row], 64)

/* Up to ROWS texts: a tile of sums for each column. */
INLINE void tiles_of_few(sums z, const bfloat16 *states, ptrdiff_t width, int depth,
                         const bfloat16 *weights, int columns) {
    STORED();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < depth; k++, states += INPUTS, weights += columns * TILE) {
        _tile_loadd(4, states, width * 2);
        _tile_loadd(6, weights, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, weights + TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, weights + 2 * TILE, 64);
        _tile_dpbf16ps(2, 4, 6);
        if (columns > 3) {
            _tile_loadd(7, weights + 3 * TILE, 64);
            _tile_dpbf16ps(3, 4, 7);
        }
    }
    STORE(0, 0, 0);
    STORE(1, 1, 0);
    STORE(2, 2, 0);
    if (columns > 3)
        STORE(3, 3, 0);
}

/* Up to twice as many, so that each tile of weights is read once: two columns and then the others. */
INLINE void tiles_of_many(sums z, const bfloat16 *states, ptrdiff_t width, int depth,
                          const bfloat16 *weights, int columns) {
    STORED();
    for (int column = 0; column < columns; column += 2) {
        const bfloat16 *left = states, *tile = weights + column * TILE;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int k = 0; k < depth; k++, left += INPUTS, tile += columns * TILE) {
            _tile_loadd(4, left, width * 2);
            _tile_loadd(5, left + ROWS * width, width * 2);
            _tile_loadd(6, tile, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 5, 6);
            if (column + 1 < columns) {
                _tile_loadd(7, tile + TILE, 64);
                _tile_dpbf16ps(2, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        STORE(0, column, 0);
        STORE(1, column, ROWS);
        if (column + 1 < columns) {
            STORE(2, column + 1, 0);
            STORE(3, column + 1, ROWS);
        }
    }
}

/* `some` texts from `first` on, by dot products of pairs; meanwhile, what comes after these weights
 * may be fetched: all of them are more than a core's cache holds. */
INLINE void dots(sums z, const bfloat16 *states, ptrdiff_t width, int depth,
                 const bfloat16 *weights, int columns, int first, int some, int fetch) {
    __m512 sum[COLUMNS][AT_ONCE];
    for (int column = 0; column < columns; column++)
        for (int text = 0; text < some; text++)
            sum[column][text] = _mm512_setzero_ps();
    for (int pair = 0; pair < width / 2; pair++) {
        const bfloat16 *tiles = weights + pair / 16 * columns * TILE + pair % 16 * 2 * LANES;
        for (int column = 0; column < columns; column++) {
            __m512bh units = (__m512bh)_mm512_load_si512(tiles + column * TILE);
            if (fetch)
                _mm_prefetch((const char *)(tiles + (depth * columns + column) * TILE), _MM_HINT_T1);
            for (int text = 0; text < some; text++) {
                int32_t two;
                memcpy(&two, states + (first + text) * width + 2 * pair, sizeof two);
                __m512bh of_text = (__m512bh)_mm512_set1_epi32(two);
                sum[column][text] = _mm512_dpbf16_ps(sum[column][text], of_text, units);
            }
        }
    }
    for (int column = 0; column < columns; column++)
        for (int text = 0; text < some; text++)
            _mm512_store_ps(z[column][first + text], sum[column][text]);
}

INLINE void multiply(sums z, const bfloat16 *states, ptrdiff_t width, int depth,
                     const bfloat16 *weights, int columns, int texts, int way) {
    if (way == TILES && texts > ROWS) {
        tiles_of_many(z, states, width, depth, weights, columns);
    } else if (way == TILES) {
        tiles_of_few(z, states, width, depth, weights, columns);
    } else {
        int first = 0;
        if (texts >= AT_ONCE) {
            dots(z, states, width, depth, weights, columns, first, AT_ONCE, 1);
            first += AT_ONCE;
        }
        for (; texts - first >= AT_ONCE; first += AT_ONCE)
            dots(z, states, width, depth, weights, columns, first, AT_ONCE, 0);
        if (texts - first >= 2)
            dots(z, states, width, depth, weights, columns, first, 2, 0), first += 2;
        if (texts - first >= 1)
            dots(z, states, width, depth, weights, columns, first, 1, 0);
    }
}

/* ---- Cells: LANES units of one text, from what the token and what the state before brings ---- */

INLINE __m512 summed(const bfloat16 *driven, const float *sum, int begun) {
    return begun ? _mm512_add_ps(widen(driven), _mm512_load_ps(sum)) : widen(driven);
}

INLINE void lstm(const bfloat16 *driven, ptrdiff_t width, sums z, int text, int begun,
                 float *memory, bfloat16 *state) {
    __m512 i = summed(driven, z[0][text], begun);
    __m512 f = summed(driven + width, z[1][text], begun);
    __m512 g = summed(driven + 2 * width, z[2][text], begun);
    __m512 o = summed(driven + 3 * width, z[3][text], begun);
    __m512 c = gated_tanh(i, g);
    if (begun)
        c = _mm512_fmadd_ps(sigmoid(f), _mm512_loadu_ps(memory), c);
    _mm512_storeu_ps(memory, c);
    narrow(state, gated_tanh(o, c));
}

INLINE void gru(const bfloat16 *driven, ptrdiff_t width, sums z, int text, int begun,
                const float *bias, float *memory, bfloat16 *state) {
    __m512 r = sigmoid(summed(driven, z[0][text], begun));
    __m512 gate = sigmoid(summed(driven + width, z[1][text], begun));
    __m512 before = _mm512_setzero_ps(), recalled = _mm512_loadu_ps(bias);
    if (begun) {
        before = _mm512_loadu_ps(memory);
        recalled = _mm512_add_ps(recalled, _mm512_load_ps(z[2][text]));
    }
    __m512 n = tanh_of(_mm512_fmadd_ps(r, recalled, widen(driven + 2 * width)));
    __m512 h = _mm512_fmadd_ps(gate, _mm512_sub_ps(before, n), n); /* (1 - z) n + z h */
    _mm512_storeu_ps(memory, h);
    narrow(state, h);
}

/* As many columns of units as there are. */
INLINE void rnn(const bfloat16 *driven, int units, sums z, int text, int begun, bfloat16 *state) {
    for (int column = 0; column < COLUMNS && column * LANES < units; column++) {
        const int unit = column * LANES;
        narrow(state + unit, tanh_of(summed(driven + unit, z[column][text], begun)));
    }
}

/* ---- A layer ---- */

/* What a step of `texts` reads and writes, from its first text on. */
struct place {
    const bfloat16 *driven, *before; /* states before are of the first `begun` texts */
    bfloat16 *after;
    float *memory;
    int texts, begun;
};

INLINE void step(const struct layer *layer, int cell, int way, struct place at) {
    const ptrdiff_t width = layer->width, stride = layer->stride;
    const int columns = cell == GRU ? 3 : 4; /* the RNN's are four times as many units */
    const int units = cell == RNN ? COLUMNS * LANES : LANES;
    const int depth = (layer->width + INPUTS - 1) / INPUTS;
    const bfloat16 *weights = layer->weights;
    sums z __attribute__((aligned(64)));
    for (int unit = 0; unit < layer->width; unit += units, weights += depth * columns * TILE) {
        for (int first = 0; first < at.texts; first += 2 * ROWS) {
            const int some = at.texts - first < 2 * ROWS ? at.texts - first : 2 * ROWS;
            const int old = at.begun - first < some ? at.begun - first : some;
            if (old > 0)
                multiply(z, at.before + first * width, width, depth, weights, columns, old, way);
            for (int text = 0; text < some; text++) {
                const bfloat16 *driven = at.driven + (first + text) * stride + unit;
                float *memory = at.memory + (first + text) * width + unit;
                bfloat16 *state = at.after + (first + text) * width + unit;
                if (cell == LSTM)
                    lstm(driven, width, z, text, text < old, memory, state);
                else if (cell == GRU)
                    gru(driven, width, z, text, text < old, layer->bias + unit, memory, state);
                else
                    rnn(driven, layer->width - unit, z, text, text < old, state);
            }
        }
    }
}

/* All steps of the texts from `first` on, before `end`. */
INLINE void steps(const struct layer *layer, int cell, int way, int first, int end) {
    const ptrdiff_t width = layer->width;
    const int last = layer->length - 1;
    struct place at = {.memory = layer->memory + first * width};
    ptrdiff_t tokens = first; /* before the step's own */
    const int some = end - first < ROWS ? end - first : ROWS;
    if (way == TILES)
        configure_tiles(some, some);
    for (int t = 0; layer->backward && t < last; t++)
        tokens += layer->rows[t];
    for (int done = 0; done <= last; done++) {
        const int t = layer->backward ? last - done : done;
        const int texts = (layer->rows[t] < end ? layer->rows[t] : end) - first;
        if (texts > 0) {
            at.driven = layer->driven + tokens * layer->stride;
            at.after = layer->states + tokens * width;
            at.begun = at.texts < texts ? at.texts : texts; /* backward, the others start here */
            at.texts = texts;
            step(layer, cell, way, at);
            at.before = at.after;
        }
        tokens += !layer->backward ? layer->rows[t] : t ? -layer->rows[t - 1] : 0;
    }
    if (way == TILES)
        _tile_release();
}

TARGET static void part(const struct layer *layer, int first, int end) {
    const int tiles = layer->way == TILES;
    switch (layer->cell) {
    case RNN:
        tiles ? steps(layer, RNN, TILES, first, end) : steps(layer, RNN, VECTORS, first, end);
        break;
    case GRU:
        tiles ? steps(layer, GRU, TILES, first, end) : steps(layer, GRU, VECTORS, first, end);
        break;
    default:
        tiles ? steps(layer, LSTM, TILES, first, end) : steps(layer, LSTM, VECTORS, first, end);
    }
}

/* The fewest texts, the longest first, that have so many tokens together. */
static int texts_of(const struct layer *layer, int64_t tokens) {
    int texts = 0, length = layer->length;
    for (int64_t sum = 0; sum < tokens; sum += length, texts++)
        while (layer->rows[length - 1] <= texts)
            length--;
    return texts;
}

/* Threads take texts each, about as many tokens, so none waits for another before the end. They are
 * torch's own, where this is built with OpenMP, and as many: libgomp ends those that a smaller team
 * leaves out, and starts them again. */
void lockstep_layer(const struct layer *layer) {
    const int worth = (layer->rows[0] + WORTH - 1) / WORTH;
    const int parts = layer->threads < worth ? layer->threads : worth;
    int64_t tokens = 0;
    for (int t = 0; t < layer->length; t++)
        tokens += layer->rows[t];
#pragma omp parallel if (parts > 1)
    {
        int thread = 0, threads = 1;
#ifdef _OPENMP
        thread = omp_get_thread_num(), threads = omp_get_num_threads();
#endif
        for (; thread < parts; thread += threads) {
            const int first = texts_of(layer, tokens * thread / parts);
            const int end = texts_of(layer, tokens * (thread + 1) / parts);
            if (first < end)
                part(layer, first, end);
        }
    }
}

#else

void lockstep_layer(const struct layer *layer) { (void)layer; }

#endif
