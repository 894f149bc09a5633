/* Products of rows with the weights of a linear layer, and what follows each: bfloat16 in and out,
 * with sums in float32. encoder.c says why.
 *
 * By tiles a block of 32 rows by 32 outputs at a time, of four: each tile that is read is multiplied
 * twice. Tiles have registers and a unit of their own, so a block's sums are finished (bias, gelu,
 * what is added, rounding) by vectors while the next is being multiplied, a few rows between two
 * steps of it. By dot products: `strips`.
 */

#include "encoder.h"

#ifdef LOCKSTEP_X86

enum {
    WIDTH = 2 * LANES, /* of a block */
    MOST = 4,  /* rows finished at once */
    NEAR = 96, /* rows by which dot products go through all weights */
};

/* Sums of a block, (rows, WIDTH), still to be finished. */
struct sums {
    const float *at;
    ptrdiff_t row;
    int column, rows;
};

/* x * P(X <= x), 2e-4 off at most where |x| is below 60: by a polynomial fitted to the normal
 * distribution's odd part, which is level from 4.2 on. Of some at once, since each step of it waits
 * for the one before. */
INLINE void gelu(__m512 *x, int count) {
    static const float fitted[] = {7.94112651e-8f, -3.03787101e-6f, 6.68897992e-5f, -9.50650254e-4f,
                                   9.29819793e-3f, -6.55281395e-2f, 3.98465812e-1f};
    const __m512 most = _mm512_set1_ps(4.2f), least = _mm512_set1_ps(-4.2f);
    __m512 bounded[2 * MOST], square[2 * MOST], part[2 * MOST];
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) {
        bounded[i] = _mm512_max_ps(least, _mm512_min_ps(most, x[i]));
        square[i] = _mm512_mul_ps(bounded[i], bounded[i]);
        part[i] = _mm512_set1_ps(-9.01722974e-10f);
    }
#pragma GCC unroll 8
    for (int term = 0; term < 7; term++)
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            part[i] = _mm512_fmadd_ps(part[i], square[i], _mm512_set1_ps(fitted[term]));
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
        x[i] = _mm512_mul_ps(x[i], _mm512_fmadd_ps(bounded[i], part[i], _mm512_set1_ps(0.5f)));
}

/* Rows from `row` on. */
INLINE void finish(const struct product *product, enum after after, const struct sums *sums,
                   int row, int count) {
    const ptrdiff_t outputs = product->weights->outputs;
    const ptrdiff_t place = (sums->row + row) * outputs + sums->column;
    const float *sum = sums->at + row * WIDTH, *bias = product->weights->bias + sums->column;
    const __m512 low = _mm512_loadu_ps(bias), high = _mm512_loadu_ps(bias + LANES);
    __m512 x[2 * MOST];
#pragma GCC unroll 4
    for (int i = 0; i < count; i++) {
        x[2 * i] = _mm512_add_ps(low, _mm512_load_ps(sum + i * WIDTH));
        x[2 * i + 1] = _mm512_add_ps(high, _mm512_load_ps(sum + i * WIDTH + LANES));
        if (after == SUM) {
            const bfloat16 *added = product->added + place + i * outputs;
            x[2 * i] = _mm512_add_ps(x[2 * i], widen(added));
            x[2 * i + 1] = _mm512_add_ps(x[2 * i + 1], widen(added + LANES));
        }
    }
    if (after == GELU)
        gelu(x, 2 * count);
#pragma GCC unroll 4
    for (int i = 0; i < count; i++)
        _mm512_storeu_si512(product->outputs + place + i * outputs,
                            (__m512i)_mm512_cvtne2ps_pbh(x[2 * i + 1], x[2 * i]));
}

/* A block into `to`, and meanwhile `at_once` rows at each of the last steps of what is to be
 * finished: its sums are on their way to memory during the first. */
INLINE void block(const struct product *product, enum after after, ptrdiff_t row, int column,
                  int both, int at_once, float *to, const struct sums *before) {
    const ptrdiff_t inputs = product->weights->inputs;
    const bfloat16 *rows = product->inputs + row * inputs;
    const bfloat16 *weights = product->weights->tiles + column * inputs;
    const int depth = (int)(inputs / INPUTS);
    const int wait = depth - before->rows / at_once;
    int finished = 0;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < depth; k++, rows += INPUTS, weights += 2 * TILE) {
        _tile_loadd(4, rows, inputs * 2);
        if (at_once > 1) { /* rows stay in the nearest cache if weights don't push them out */
            _tile_stream_loadd(6, weights, 64);
            _tile_stream_loadd(7, weights + TILE, 64);
        } else {
            _tile_loadd(6, weights, 64);
            _tile_loadd(7, weights + TILE, 64);
        }
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 4, 7);
        if (both) {
            _tile_loadd(5, rows + ROWS * inputs, inputs * 2);
            _tile_dpbf16ps(1, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        if (k >= wait) {
            finish(product, after, before, finished, at_once);
            finished += at_once;
        }
    }
    for (; finished < before->rows; finished++)
        finish(product, after, before, finished, 1);
    STORED();
    _tile_stored(0, to, WIDTH * 4);
    _tile_stored(2, to + LANES, WIDTH * 4);
    if (both) {
        _tile_stored(1, to + ROWS * WIDTH, WIDTH * 4);
        _tile_stored(3, to + ROWS * WIDTH + LANES, WIDTH * 4);
    }
    STORED();
}

INLINE void blocks(const struct product *product, enum after after, int at_once, int first, int end,
                   int from, int to) {
    float sums[2][HEIGHT * WIDTH] __attribute__((aligned(64)));
    struct sums before = {.rows = 0};
    int turn = 0;
    STORED();
    for (int row = first; row < end; row += HEIGHT) {
        const int rows = end - row < HEIGHT ? end - row : HEIGHT;
        if (rows < HEIGHT)
            configure_tiles(rows < ROWS ? rows : ROWS, rows > ROWS ? rows - ROWS : ROWS);
        for (int column = from; column < to; column += WIDTH, turn ^= 1) {
            if (rows > ROWS)
                block(product, after, row, column, 1, at_once, sums[turn], &before);
            else
                block(product, after, row, column, 0, at_once, sums[turn], &before);
            before = (struct sums){.at = sums[turn], .row = row, .column = column, .rows = rows};
        }
        if (rows < HEIGHT)
            configure_tiles(ROWS, ROWS);
    }
    for (int row = 0; row < before.rows; row++)
        finish(product, after, &before, row, 1);
}

/* By dot products, in the unit that finishes them too, so nothing is done meanwhile. Some rows go
 * through all weights, two tiles wide at a time: so both are near when they are read again. */
INLINE void strips(const struct product *product, enum after after, int first, int end, int from,
                   int to) {
    const ptrdiff_t inputs = product->weights->inputs;
    float at[NEAR * WIDTH] __attribute__((aligned(64)));
    struct dots dots = {
        .sums = at,
        .row = inputs,
        .next = INPUTS,
        .beside = TILE,
        .below = 2 * TILE,
        .sums_row = WIDTH,
        .sums_beside = LANES,
        .depth = (int)(inputs / INPUTS),
        .ahead = inputs * WIDTH,
    };
    for (int row = first; row < end; row += NEAR) {
        const int rows = end - row < NEAR ? end - row : NEAR;
        for (int column = from; column < to; column += WIDTH) {
            const struct sums sums = {.at = at, .row = row, .column = column, .rows = rows};
            dots.rows = product->inputs + row * inputs;
            dots.tiles = product->weights->tiles + column * inputs;
            dot(&dots, rows);
            int finished = 0;
            for (; rows - finished >= MOST; finished += MOST)
                finish(product, after, &sums, finished, MOST);
            for (; finished < rows; finished++)
                finish(product, after, &sums, finished, 1);
        }
    }
}

INLINE void multiply_as(const struct product *product, enum after after, int first, int end,
                        int from, int to) {
    const int depth = product->weights->inputs / INPUTS;
    if (product->way != TILES)
        strips(product, after, first, end, from, to);
    else if (depth >= HEIGHT)
        blocks(product, after, 1, first, end, from, to);
    else if (depth >= HEIGHT / 2)
        blocks(product, after, 2, first, end, from, to);
    else
        blocks(product, after, MOST, first, end, from, to);
}

TARGET void multiply(const struct product *product, enum after after, int first, int end, int from,
                     int to) {
    if (after == GELU)
        multiply_as(product, GELU, first, end, from, to);
    else if (after == SUM)
        multiply_as(product, SUM, first, end, from, to);
    else
        multiply_as(product, PLAIN, first, end, from, to);
}

/* A thread's part: of many rows some, of few rows some outputs. */
TARGET static void part(const struct product *product, int rows, int thread, int threads) {
    const int heights = (rows + HEIGHT - 1) / HEIGHT, columns = product->weights->outputs / WIDTH;
    int first = 0, end = rows, from = 0, to = columns;
    if (rows >= ENOUGH * threads) {
        first = heights * thread / threads * HEIGHT;
        end = heights * (thread + 1) / threads * HEIGHT;
        end = end < rows ? end : rows;
    } else {
        from = columns * thread / threads;
        to = columns * (thread + 1) / threads;
    }
    if (product->way == TILES)
        configure_tiles(ROWS, ROWS);
    if (from < to)
        multiply(product, PLAIN, first, end, from * WIDTH, to * WIDTH);
    if (product->way == TILES)
        _tile_release();
}

/* W x + b of rows. Threads are torch's own, and as many. */
void lockstep_product(const struct weights *weights, const bfloat16 *inputs, bfloat16 *outputs,
                      int32_t rows, int32_t way, int32_t threads) {
    const struct product product = {weights, inputs, NULL, outputs, way};
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int thread = 0, team = 1;
#ifdef _OPENMP
        thread = omp_get_thread_num(), team = omp_get_num_threads();
#endif
        part(&product, rows, thread, team);
    }
}

#else

void lockstep_product(const struct weights *weights, const bfloat16 *inputs, bfloat16 *outputs,
                      int32_t rows, int32_t way, int32_t threads) {
    (void)weights, (void)inputs, (void)outputs, (void)rows, (void)way, (void)threads;
}

#endif
