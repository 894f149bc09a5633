/* Rows by two columns of tiles, by dot products of bfloat16 pairs (AVX512-BF16), where there are no
 * matrix tiles. Weights lie as tiles all the same: a row of one, 16 pairs, is a vector, and one pair
 * of each row is multiplied with all of them.
 */

#include "encoder.h"

#ifdef LOCKSTEP_X86

enum { MOST = 12, COLUMNS = 2 }; /* rows, at most, by columns: of 32 registers 24 hold sums */

/* Of so many rows from `first` on; how many is known when it is compiled. */
INLINE void dot_some(const struct dots *dots, int first, int count) {
    const bfloat16 *rows = dots->rows + first * dots->row, *tiles = dots->tiles;
    float *sums = dots->sums + first * dots->sums_row;
    __m512 sum[MOST][COLUMNS];
#pragma GCC unroll 12
    for (int row = 0; row < count; row++)
#pragma GCC unroll 2
        for (int column = 0; column < COLUMNS; column++)
            sum[row][column] =
                dots->earlier
                    ? _mm512_load_ps(sums + row * dots->sums_row + column * dots->sums_beside)
                    : _mm512_setzero_ps();
    for (int k = 0; k < dots->depth; k++, rows += dots->next, tiles += dots->below)
        for (int pair = 0; pair < INPUTS / 2; pair++) {
            __m512bh of_column[COLUMNS];
#pragma GCC unroll 2
            for (int column = 0; column < COLUMNS; column++) {
                const bfloat16 *at = tiles + column * dots->beside + pair * 2 * LANES;
                of_column[column] = (__m512bh)_mm512_load_si512(at);
                _mm_prefetch((const char *)(at + dots->ahead), _MM_HINT_T1);
            }
#pragma GCC unroll 12
            for (int row = 0; row < count; row++) {
                int32_t two;
                memcpy(&two, rows + row * dots->row + 2 * pair, sizeof two);
                const __m512bh of_row = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 2
                for (int column = 0; column < COLUMNS; column++)
                    sum[row][column] =
                        _mm512_dpbf16_ps(sum[row][column], of_row, of_column[column]);
            }
        }
#pragma GCC unroll 12
    for (int row = 0; row < count; row++)
#pragma GCC unroll 2
        for (int column = 0; column < COLUMNS; column++)
            _mm512_store_ps(sums + row * dots->sums_row + column * dots->sums_beside,
                            sum[row][column]);
}

/* About as many each time: a few by themselves would wait for their sums. */
TARGET void dot(const struct dots *dots, int rows) {
    int first = 0;
    for (int times = (rows + MOST - 1) / MOST; times; times--) {
        const int count = (rows - first + times - 1) / times;
        switch (count) {
#define CASE(count)                                                                                \
    case count:                                                                                    \
        dot_some(dots, first, count);                                                              \
        break
            CASE(1);
            CASE(2);
            CASE(3);
            CASE(4);
            CASE(5);
            CASE(6);
            CASE(7);
            CASE(8);
            CASE(9);
            CASE(10);
            CASE(11);
            CASE(MOST);
#undef CASE
        }
        first += count;
    }
}

#endif
