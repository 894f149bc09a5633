/* What stands before a text's layers, and after them: embeddings, and how states become logits. */

#include "encoder.h"

#ifdef LOCKSTEP_X86

/* Rounded to bfloat16, and once more with what is added: as torch does. */
INLINE void embed_token(const struct encoder *encoder, const struct batch *batch, bfloat16 *to,
                        int32_t id, int position) {
    const ptrdiff_t inputs = inputs_of(encoder);
    const uint16_t *half = (const uint16_t *)batch->table + id * inputs;
    const float *single = (const float *)batch->table + id * inputs;
    for (ptrdiff_t i = 0; i < inputs; i += LANES) {
        narrow(to + i, batch->format == FLOAT16
                           ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(half + i)))
                           : _mm512_loadu_ps(single + i));
        if (encoder->positions) {
            const bfloat16 *added = encoder->positions + position * inputs + i;
            narrow(to + i, _mm512_add_ps(widen(to + i), widen(added)));
        }
    }
}

TARGET void embed(const struct encoder *encoder, const struct batch *batch, bfloat16 *embedded,
                  int first, int end) {
    const ptrdiff_t inputs = inputs_of(encoder);
    int text = 0;
    for (int token = first; token < end; token++, embedded += inputs) {
        while (batch->starts[text + 1] <= token)
            text++;
        embed_token(encoder, batch, embedded, batch->ids[token], token - batch->starts[text]);
    }
}

/* What isn't a number may be lost to the largest, and not to the mean beside it. */
INLINE void pool_some(const bfloat16 *states, float *mean, float *most, int length, int width,
                      int vectors) {
    __m512 sums[SLICE / LANES], largest[SLICE / LANES];
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) {
        sums[i] = _mm512_setzero_ps();
        largest[i] = _mm512_set1_ps(-__builtin_inff());
    }
    for (int token = 0; token < length; token++, states += width)
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            const __m512 state = widen(states + i * LANES);
            sums[i] = _mm512_add_ps(sums[i], state);
            largest[i] = _mm512_max_ps(largest[i], state);
        }
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) {
        _mm512_storeu_ps(mean + i * LANES, _mm512_div_ps(sums[i], _mm512_set1_ps((float)length)));
        if (most)
            _mm512_storeu_ps(most + i * LANES, largest[i]);
    }
}

TARGET void pool(const struct head *head, const bfloat16 *states, float *pooled, int length,
                 int width, int from, int to) {
    if (head->pooling == LAST) {
        states += (ptrdiff_t)(length - 1) * width;
        length = 1;
    }
    float *mean = pooled + from, *most = head->pooling == MEAN_MAX ? mean + width : NULL;
    if (to - from == SLICE)
        pool_some(states + from, mean, most, length, width, SLICE / LANES);
    else
        pool_some(states + from, mean, most, length, width, 2);
}

TARGET void judge(const struct head *head, const float *pooled, float *logits, int width) {
    const int numbers = pooled_of(head, width);
    for (int label = 0; label < head->labels; label++) {
        const float *weight = head->weight + (ptrdiff_t)label * numbers;
        __m512 sum = _mm512_setzero_ps();
        for (int i = 0; i < numbers; i += LANES)
            sum = _mm512_fmadd_ps(_mm512_loadu_ps(pooled + i), _mm512_loadu_ps(weight + i), sum);
        logits[label] = head->bias[label] + _mm512_reduce_add_ps(sum);
    }
}

#endif
