/* What stands before a text's layers, and after them: embeddings, and how states become logits.
 *
 * Tokens lie text after text, as an encoder reads them, or as a recurrence does, a step's side by
 * side (steps.c): there a token's row is as far from the one before as texts have one at that step.
 */

#include "encoder.h"

#ifdef LOCKSTEP_X86

int all_known(const struct batch *batch) {
    int known = 1;
    for (int token = 0; batch->ids && token < batch->tokens; token++)
        known &= (uint32_t)batch->ids[token] < (uint32_t)batch->vocabulary;
    return known;
}

/* Rounded to bfloat16, and once more with what is added, if anything is: as torch does. */
INLINE void embed_token(const struct batch *batch, bfloat16 *to, int32_t id, ptrdiff_t inputs,
                        const bfloat16 *added) {
    const uint16_t *half = (const uint16_t *)batch->table + id * inputs;
    const float *single = (const float *)batch->table + id * inputs;
    for (ptrdiff_t i = 0; i < inputs; i += LANES) {
        narrow(to + i, batch->format == FLOAT16
                           ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(half + i)))
                           : _mm512_loadu_ps(single + i));
        if (added)
            narrow(to + i, _mm512_add_ps(widen(to + i), widen(added + i)));
    }
}

TARGET void embed(const struct encoder *encoder, const struct batch *batch, bfloat16 *embedded,
                  int first, int end) {
    const ptrdiff_t inputs = inputs_of(encoder);
    int text = 0;
    for (int token = first; token < end; token++, embedded += inputs) {
        while (batch->starts[text + 1] <= token)
            text++;
        const int position = token - batch->starts[text];
        const bfloat16 *added =
            encoder->positions ? encoder->positions + position * inputs : NULL;
        embed_token(batch, embedded, batch->ids[token], inputs, added);
    }
}

/* What isn't a number may be lost to the largest, and not to the mean beside it. */
INLINE void pool_some(const bfloat16 *states, float *mean, float *most, int length,
                      const int32_t *rows, int width, int vectors) {
    __m512 sums[SLICE / LANES], largest[SLICE / LANES];
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) {
        sums[i] = _mm512_setzero_ps();
        largest[i] = _mm512_set1_ps(-__builtin_inff());
    }
    for (int token = 0; token < length; token++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            const __m512 state = widen(states + i * LANES);
            sums[i] = _mm512_add_ps(sums[i], state);
            largest[i] = _mm512_max_ps(largest[i], state);
        }
        states += (rows ? (ptrdiff_t)rows[token] : 1) * width;
    }
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) {
        _mm512_storeu_ps(mean + i * LANES, _mm512_div_ps(sums[i], _mm512_set1_ps((float)length)));
        if (most)
            _mm512_storeu_ps(most + i * LANES, largest[i]);
    }
}

TARGET void pool(const struct head *head, const bfloat16 *states, float *pooled, int length,
                 const int32_t *rows, int width, int from, int to) {
    if (head->pooling == LAST) {
        for (int token = 0; token < length - 1; token++)
            states += (rows ? (ptrdiff_t)rows[token] : 1) * width;
        length = 1;
    }
    for (; from < to; from += SLICE) {
        float *mean = pooled + from, *most = head->pooling == MEAN_MAX ? mean + width : NULL;
        switch ((to - from) / LANES) {
        case 1:
            pool_some(states + from, mean, most, length, rows, width, 1);
            break;
        case 2:
            pool_some(states + from, mean, most, length, rows, width, 2);
            break;
        case 3:
            pool_some(states + from, mean, most, length, rows, width, 3);
            break;
        default:
            pool_some(states + from, mean, most, length, rows, width, SLICE / LANES);
        }
    }
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

/* ---- A recurrence's: texts by length ---- */

TARGET static void embed_text(const struct ragged *ragged, int rank) {
    const struct batch *batch = ragged->batch;
    const int text = ragged->order[rank], length = batch->starts[text + 1] - batch->starts[text];
    bfloat16 *to = ragged->embedded + (ptrdiff_t)rank * ragged->inputs;
    for (int token = 0; token < length; token++) {
        embed_token(batch, to, batch->ids[batch->starts[text] + token], ragged->inputs, NULL);
        to += (ptrdiff_t)ragged->rows[token] * ragged->inputs;
    }
}

TARGET static void judge_text(const struct ragged *ragged, int rank) {
    const struct batch *batch = ragged->batch;
    const int text = ragged->order[rank], length = batch->starts[text + 1] - batch->starts[text];
    float *pooled = ragged->pooled + (ptrdiff_t)rank * pooled_of(batch->head, ragged->width);
    pool(batch->head, ragged->states + (ptrdiff_t)rank * ragged->width, pooled, length,
         ragged->rows, ragged->width, 0, ragged->width);
    judge(batch->head, pooled, batch->logits + (ptrdiff_t)text * batch->head->labels,
          ragged->width);
}

/* Embeddings of all tokens. Returns whether it could: nothing is done for ids that the table has no
 * row for. */
int lockstep_embed(const struct ragged *ragged) {
    const struct batch *batch = ragged->batch;
    if (!all_known(batch))
        return 0;
#pragma omp parallel for schedule(static, 1) num_threads(batch->threads)                           \
    if (batch->threads > 1 && batch->texts > 1)
    for (int rank = 0; rank < batch->texts; rank++)
        embed_text(ragged, rank);
    return 1;
}

/* Logits of all texts. */
void lockstep_judge(const struct ragged *ragged) {
    const struct batch *batch = ragged->batch;
#pragma omp parallel for schedule(static, 1) num_threads(batch->threads)                           \
    if (batch->threads > 1 && batch->texts > 1)
    for (int rank = 0; rank < batch->texts; rank++)
        judge_text(ragged, rank);
}

#else

int lockstep_embed(const struct ragged *ragged) {
    (void)ragged;
    return 0;
}

void lockstep_judge(const struct ragged *ragged) { (void)ragged; }

#endif
