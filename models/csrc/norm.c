/* Layer norms of rows, and of what is added to them first, in one pass: bfloat16 in and out, with
 * sums in float32. norm.py says why, and calls it.
 */

#include "native.h"

#ifdef LOCKSTEP_X86

enum {
    WIDEST = 1024, /* features of a row, which is kept at hand in float32 */
    WORTH = 32,    /* rows for which another thread is worth its while */
};

INLINE void norm(const struct norms *norms, ptrdiff_t start, int width) {
    float row[WIDEST] __attribute__((aligned(64)));
    const bfloat16 *states = norms->states + start;
    __m512 sum = _mm512_setzero_ps(), squares = sum;
    for (int i = 0; i < width; i += LANES) {
        __m512 x = widen(states + i);
        if (norms->added) {
            x = _mm512_add_ps(x, widen(norms->added + start + i));
            narrow(norms->sums + start + i, x);
        }
        _mm512_store_ps(row + i, x);
        sum = _mm512_add_ps(sum, x);
    }
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / (float)width);
    for (int i = 0; i < width; i += LANES) {
        const __m512 off = _mm512_sub_ps(_mm512_load_ps(row + i), mean);
        _mm512_store_ps(row + i, off);
        squares = _mm512_fmadd_ps(off, off, squares);
    }
    const float variance = _mm512_reduce_add_ps(squares) / (float)width;
    const __m512 scale = _mm512_set1_ps(1.0f / __builtin_sqrtf(variance + norms->epsilon));
    for (int i = 0; i < width; i += LANES) {
        const __m512 x = _mm512_mul_ps(_mm512_load_ps(row + i), scale);
        const __m512 weight = _mm512_loadu_ps(norms->weight + i);
        narrow(norms->normed + start + i, _mm512_fmadd_ps(x, weight, _mm512_loadu_ps(norms->bias + i)));
    }
}

TARGET static void part(const struct norms *norms, ptrdiff_t first, ptrdiff_t end) {
    const int width = norms->width;
    for (ptrdiff_t row = first; row < end; row++)
        if (width == 256) /* those of the models that are shipped, compiled for themselves */
            norm(norms, row * width, 256);
        else if (width == 384)
            norm(norms, row * width, 384);
        else
            norm(norms, row * width, width);
}

/* Threads, torch's own and as many, take as many rows each. */
void lockstep_norm(const struct norms *norms) {
    const int worth = (norms->count + WORTH - 1) / WORTH;
    const int parts = norms->threads < worth ? norms->threads : worth;
#pragma omp parallel if (parts > 1)
    {
        int thread = 0, threads = 1;
#ifdef _OPENMP
        thread = omp_get_thread_num(), threads = omp_get_num_threads();
#endif
        for (; thread < parts; thread += threads)
            part(norms, (ptrdiff_t)norms->count * thread / parts,
                 (ptrdiff_t)norms->count * (thread + 1) / parts);
    }
}

#else

void lockstep_norm(const struct norms *norms) { (void)norms; }

#endif
