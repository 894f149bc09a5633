/* Layer norms of rows: bfloat16 in and out, with sums in float32. */

#include "encoder.h"

#ifdef LOCKSTEP_X86

/* The variance is the mean of squares less the mean's: bfloat16 has 8 bits, so what float32's 24
 * lose where numbers lie close together is less than they have been rounded by. */
INLINE void normalize_row(const struct norm *norm, const bfloat16 *from, bfloat16 *to, int width) {
    __m512 sum = _mm512_setzero_ps(), squares = sum, other_sum = sum, other_squares = sum;
    for (int i = 0; i < width; i += 2 * LANES) {
        const __m512 low = widen(from + i), high = widen(from + i + LANES);
        sum = _mm512_add_ps(sum, low);
        squares = _mm512_fmadd_ps(low, low, squares);
        other_sum = _mm512_add_ps(other_sum, high);
        other_squares = _mm512_fmadd_ps(high, high, other_squares);
    }
    const float mean = _mm512_reduce_add_ps(_mm512_add_ps(sum, other_sum)) / (float)width;
    const float square = _mm512_reduce_add_ps(_mm512_add_ps(squares, other_squares)) / (float)width;
    const float found = square - mean * mean, variance = found < 0 ? 0 : found;
    const __m128 deviation = _mm_sqrt_ss(_mm_set_ss(variance + norm->epsilon));
    const float by = 1.0f / _mm_cvtss_f32(deviation);
    const __m512 scale = _mm512_set1_ps(by), shift = _mm512_set1_ps(-mean * by);
    for (int i = 0; i < width; i += LANES) {
        const __m512 x = _mm512_fmadd_ps(widen(from + i), scale, shift);
        const __m512 weight = _mm512_loadu_ps(norm->weight + i);
        narrow(to + i, _mm512_fmadd_ps(x, weight, _mm512_loadu_ps(norm->bias + i)));
    }
}

TARGET void normalize(const struct norm *norm, const bfloat16 *states, bfloat16 *normed, int width,
                      int first, int end) {
    for (ptrdiff_t row = first; row < end; row++)
        if (width == 256) /* those of the models that are shipped, compiled for themselves */
            normalize_row(norm, states + row * 256, normed + row * 256, 256);
        else if (width == 384)
            normalize_row(norm, states + row * 384, normed + row * 384, 384);
        else
            normalize_row(norm, states + row * width, normed + row * width, width);
}

#endif
