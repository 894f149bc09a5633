/* A Transformer over a batch, in one call, in bfloat16 with sums in float32: an encoder from
 * embeddings to states (stack.py says why, and calls it), or all from ids to logits (reader.py).
 *
 * Texts lie one after another in a line of tokens, so nothing is padded and no mask is needed.
 * Where whole texts can be shared out evenly, each thread takes its own through all layers, some
 * at a time, so that the next layer finds what one made of them near, and waits for nobody. Else they
 * share the tokens: each takes its own through all that reads every token by itself, and they wait
 * for one another before attention, which reads all tokens of a text, and after it. Where there are
 * too few tokens for that too, each computes some outputs of every product instead, and they wait
 * for one another after each.
 */

#include "encoder.h"

#ifdef LOCKSTEP_X86

enum { UNEVEN = 8 }; /* a thread may have an eighth more than its share */

/* The text that begins nearest to a token of all that lie in a line; the number of texts is the
 * end's. */
static int nearest(const struct batch *batch, ptrdiff_t token) {
    int low = 0, high = batch->texts;
    while (low < high) { /* the first that begins there or later */
        const int middle = (low + high) / 2;
        if (batch->starts[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0 && batch->starts[low] - token > token - batch->starts[low - 1])
        low--;
    return low;
}

/* The text that a thread's own begin with. */
static int own(const struct batch *batch, int thread, int threads) {
    return nearest(batch, (ptrdiff_t)batch->tokens * thread / threads);
}

/* Whether whole texts can be shared out so that no thread has much more to do than another. */
static int apart(const struct batch *batch, int threads) {
    for (int thread = 0; thread < threads; thread++) {
        const ptrdiff_t tokens = batch->starts[own(batch, thread + 1, threads)] -
                                 batch->starts[own(batch, thread, threads)];
        if (tokens * threads * UNEVEN > (ptrdiff_t)batch->tokens * (UNEVEN + 1))
            return 0;
    }
    return 1;
}

/* Bytes of what a thread works with then. */
static ptrdiff_t group_bytes(const struct encoder *encoder, const struct batch *batch) {
    struct batch largest = *batch;
    largest.tokens = batch->longest > CHUNK ? batch->longest : CHUNK;
    largest.texts = batch->texts < CHUNK ? batch->texts : CHUNK;
    return divide(encoder, &largest, NULL, 0, 1).bytes;
}

/* Where the texts end that go through all layers next: as many as fill a chunk, or a like share of
 * what is left, since each chunk reads all weights, however few its tokens. */
static int group_end(const struct batch *batch, int text, int last) {
    const int from = batch->starts[text], left = batch->starts[last] - from;
    const int chunks = 1 + (left - 1) / CHUNK;
    int end = nearest(batch, from + left / chunks);
    while (end > text + 1 && batch->starts[end] - from > CHUNK)
        end--;
    return end > text ? end : text + 1;
}

/* Some texts after another go through all layers before the next do: what is made of them on the
 * way stays near, which that of a long line would not. */
static void work_apart(struct worker *worker, char *scratch) {
    const struct batch *batch = worker->batch;
    const ptrdiff_t inputs = inputs_of(worker->encoder), width = worker->encoder->width;
    const int last = own(batch, worker->thread + 1, worker->threads);
    int end, text = own(batch, worker->thread, worker->threads);
    worker->thread = 0, worker->threads = 1;
    for (; text < last; text = end) {
        struct batch group = *batch;
        int32_t starts[CHUNK + 1] = {0};
        const int from = batch->starts[text];
        int next[2] = {0, 0};
        end = group_end(batch, text, last);
        group.texts = group.longest = 0;
        for (int one = text; one < end; one++) {
            const int length = batch->starts[one + 1] - batch->starts[one];
            group.longest = length > group.longest ? length : group.longest;
            starts[++group.texts] = batch->starts[one + 1] - from;
        }
        group.starts = starts;
        group.tokens = starts[group.texts];
        if (batch->ids) {
            group.ids += from;
            group.logits += (ptrdiff_t)text * batch->head->labels;
        } else {
            group.embeddings += from * inputs;
            group.states += from * width;
        }
        worker->batch = &group;
        worker->memory = divide(worker->encoder, &group, scratch, 0, 1);
        work(worker, next);
    }
}

/* For as many threads as the batch says, or fewer, if the system has no more. */
int64_t lockstep_scratch_bytes(const struct encoder *encoder, const struct batch *batch) {
    ptrdiff_t most = 0;
    for (int threads = 1; threads <= batch->threads; threads++) {
        const ptrdiff_t bytes = apart(batch, threads)
                                    ? threads * group_bytes(encoder, batch)
                                    : divide(encoder, batch, NULL, 0, threads).bytes;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Threads are torch's own, and as many. Returns whether it could: nothing is done for ids that the
 * table has no row for. */
int lockstep_encode(const struct encoder *encoder, const struct batch *batch) {
    int next[2] = {0, 0};
    if (!all_known(batch))
        return 0;
#pragma omp parallel num_threads(batch->threads) if (batch->threads > 1)
    {
        struct worker worker = {.encoder = encoder, .batch = batch, .threads = 1};
#ifdef _OPENMP
        worker.thread = omp_get_thread_num(), worker.threads = omp_get_num_threads();
#endif
        if (worker.thread == 0 && batch->seconds) {
            worker.seconds = batch->seconds;
            clock_gettime(CLOCK_MONOTONIC, &worker.since);
        }
        if (apart(batch, worker.threads))
            work_apart(&worker, batch->scratch + worker.thread * group_bytes(encoder, batch));
        else {
            worker.together = work_together(batch, worker.threads);
            worker.memory = divide(encoder, batch, batch->scratch, worker.thread, worker.threads);
            work(&worker, next);
        }
    }
    return 1;
}

#else

int64_t lockstep_scratch_bytes(const struct encoder *encoder, const struct batch *batch) {
    (void)encoder, (void)batch;
    return 0;
}

int lockstep_encode(const struct encoder *encoder, const struct batch *batch) {
    (void)encoder, (void)batch;
    return 0;
}

#endif
