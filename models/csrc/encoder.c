/* A Transformer over a batch, in one call, in bfloat16 with sums in float32: an encoder from
 * embeddings to states (stack.py says why, and calls it), or all from ids to logits (reader.py).
 *
 * Texts lie one after another in a line of tokens, so nothing is padded and no mask is needed.
 * Where whole texts can be shared out evenly, each thread takes its own through all layers, some
 * at a time, so that what a layer makes of them stays in its cache, and waits for nobody. Else they
 * share the tokens: each takes its own through all that reads every token by itself, and they wait
 * for one another before attention, which reads all tokens of a text, and after it. Where there are
 * too few tokens for that too, each computes some outputs of every product instead, and they wait
 * for one another after each.
 */

#include "encoder.h"

#ifdef LOCKSTEP_X86

#include <time.h>

enum {
    CHUNK = 20 * HEIGHT, /* tokens that a thread takes at a time */
    ENOUGH = 4 * HEIGHT, /* tokens of a thread */
    ALIGNED = 64,        /* bytes of a row of a tile */
    UNEVEN = 8,          /* a thread may have an eighth more than its share */
};

/* What is made on the way. */
struct memory {
    bfloat16 *projected;        /* (N, 3 * width) */
    bfloat16 *attended;         /* (N, width) */
    bfloat16 *states;           /* (N, width) */
    float *pooled;              /* (texts, pooled_of the head) */
    /* Of a thread's tokens at a time: */
    bfloat16 *normed;   /* (tokens, width) */
    bfloat16 *expanded; /* (tokens, outputs of expand) */
    bfloat16 *embedded; /* (tokens, inputs of project): in the same place */
    char *attention;
    ptrdiff_t bytes;
};

struct worker {
    const struct encoder *encoder;
    const struct batch *batch;
    struct memory memory;
    int thread, threads, together; /* together: on the same tokens */
    double *seconds;               /* NULL unless somebody looks */
    struct timespec since;
};

static int work_together(const struct batch *batch, int threads) {
    return threads > 1 && batch->tokens < ENOUGH * threads;
}

static ptrdiff_t aligned(ptrdiff_t bytes) { return (bytes + ALIGNED - 1) / ALIGNED * ALIGNED; }

static ptrdiff_t bytes_of(ptrdiff_t numbers) {
    return aligned(numbers * (ptrdiff_t)sizeof(bfloat16));
}

/* That of a thread, of so many, in memory at `base`. */
static struct memory divide(const struct encoder *encoder, const struct batch *batch, char *base,
                             int thread, int threads) {
    const ptrdiff_t tokens = batch->tokens, width = encoder->width;
    const int together = work_together(batch, threads), own = together ? 0 : thread;
    const ptrdiff_t chunk = together || tokens < CHUNK ? tokens : CHUNK;
    const ptrdiff_t copies = together ? 1 : threads;
    const ptrdiff_t expanded = encoder->blocks[0].expand.outputs;
    const ptrdiff_t embedded = encoder->project.outputs ? encoder->project.inputs : 0;
    const ptrdiff_t sizes[] = {
        bytes_of(tokens * 3 * width),
        bytes_of(tokens * width),
        bytes_of(chunk * width),
        bytes_of(chunk * (expanded > embedded ? expanded : embedded)),
        attention_bytes(batch->longest, encoder->width / encoder->heads),
        batch->states ? 0 : bytes_of(tokens * width),
        batch->head ? aligned((ptrdiff_t)batch->texts * pooled_of(batch->head, encoder->width) *
                              (ptrdiff_t)sizeof(float))
                    : 0,
    };
    struct memory memory;
    memory.projected = (bfloat16 *)base;
    memory.attended = (bfloat16 *)(base += sizes[0]);
    memory.normed = (bfloat16 *)((base += sizes[1]) + own * sizes[2]);
    memory.expanded = (bfloat16 *)((base += copies * sizes[2]) + own * sizes[3]);
    memory.embedded = memory.expanded;
    memory.attention = (base += copies * sizes[3]) + thread * sizes[4];
    memory.states = batch->states ? batch->states : (bfloat16 *)(base + threads * sizes[4]);
    memory.pooled = (float *)(base + threads * sizes[4] + sizes[5]);
    memory.bytes = sizes[0] + sizes[1] + copies * (sizes[2] + sizes[3]) + threads * sizes[4] +
                   sizes[5] + sizes[6];
    return memory;
}

/* ---- A thread's part ---- */

/* The time since the last call goes to a kind. */
static void spend(struct worker *worker, enum kind kind) {
    if (!worker->seconds)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    worker->seconds[kind] += (double)(now.tv_sec - worker->since.tv_sec) +
                             1e-9 * (double)(now.tv_nsec - worker->since.tv_nsec);
    worker->since = now;
}

static void wait_for_others(struct worker *worker) {
    if (worker->threads > 1) {
#pragma omp barrier
        spend(worker, WAITING);
    }
}

static void settle(struct worker *worker) {
    if (worker->together)
        wait_for_others(worker);
}

static int share(const struct worker *worker, int items, int of) {
    return (int)((ptrdiff_t)items * of / worker->threads);
}

static void linear(struct worker *worker, const struct weights *weights, enum after after,
                   const bfloat16 *inputs, const bfloat16 *added, bfloat16 *outputs, int tokens) {
    const struct product product = {weights, inputs, added, outputs};
    int from = 0, to = weights->outputs / (2 * LANES);
    if (worker->together) {
        from = share(worker, weights->outputs / (2 * LANES), worker->thread);
        to = share(worker, weights->outputs / (2 * LANES), worker->thread + 1);
    }
    if (from < to)
        multiply(&product, after, 0, tokens, from * 2 * LANES, to * 2 * LANES);
    spend(worker, PRODUCTS);
    settle(worker);
}

static void norm(struct worker *worker, const struct norm *norm, const bfloat16 *states,
                 bfloat16 *normed, int tokens) {
    int first = 0, end = tokens;
    if (worker->together) {
        first = share(worker, tokens, worker->thread);
        end = share(worker, tokens, worker->thread + 1);
    }
    normalize(norm, states, normed, worker->encoder->width, first, end);
    spend(worker, NORMS);
    settle(worker);
}

/* From ids, or embeddings, to what the first block reads. */
static void before(struct worker *worker, ptrdiff_t first, int tokens) {
    const struct encoder *encoder = worker->encoder;
    const struct batch *batch = worker->batch;
    const struct weights *project = &encoder->project;
    const ptrdiff_t width = encoder->width, inputs = inputs_of(encoder);
    bfloat16 *states = worker->memory.states + first * width;
    const bfloat16 *from = batch->embeddings ? batch->embeddings + first * inputs : NULL;
    if (batch->ids) {
        bfloat16 *embedded = project->outputs ? worker->memory.embedded : states;
        const int part = share(worker, tokens, worker->together ? worker->thread : 0);
        const int end = worker->together ? share(worker, tokens, worker->thread + 1) : tokens;
        embed(encoder, batch, embedded + part * inputs, (int)first + part, (int)first + end);
        spend(worker, COPIES);
        from = embedded;
        settle(worker);
    }
    if (project->outputs) {
        linear(worker, project, PLAIN, from, NULL, states, tokens);
        from = states;
    }
    if (encoder->first_norm.weight)
        norm(worker, &encoder->first_norm, from, states, tokens);
}

/* To queries, keys and values. */
static void front(struct worker *worker, const struct block *block, ptrdiff_t first, int tokens) {
    const ptrdiff_t width = worker->encoder->width;
    const bfloat16 *states = worker->memory.states + first * width;
    if (worker->encoder->norms_first) {
        norm(worker, &block->attention_norm, states, worker->memory.normed, tokens);
        states = worker->memory.normed;
    }
    linear(worker, &block->query_key_value, PLAIN, states, NULL,
           worker->memory.projected + first * 3 * width, tokens);
}

/* From what was attended to. */
static void back(struct worker *worker, const struct block *block, ptrdiff_t first, int tokens) {
    const ptrdiff_t width = worker->encoder->width;
    const struct memory *memory = &worker->memory;
    bfloat16 *states = memory->states + first * width, *normed = states;
    linear(worker, &block->attention_output, SUM, memory->attended + first * width, states, states,
           tokens);
    if (worker->encoder->norms_first) {
        normed = memory->normed;
        norm(worker, &block->feed_forward_norm, states, normed, tokens);
    } else
        norm(worker, &block->attention_norm, states, states, tokens);
    linear(worker, &block->expand, GELU, normed, NULL, memory->expanded, tokens);
    linear(worker, &block->contract, SUM, memory->expanded, states, states, tokens);
    if (!worker->encoder->norms_first)
        norm(worker, &block->feed_forward_norm, states, states, tokens);
}

/* From texts' states to their logits. */
static void after(struct worker *worker) {
    const struct batch *batch = worker->batch;
    const struct head *head = batch->head;
    const int width = worker->encoder->width, slices = (width + SLICE - 1) / SLICE;
    const int items = batch->texts * slices, numbers = pooled_of(head, width);
    wait_for_others(worker);
    for (int item = share(worker, items, worker->thread);
         item < share(worker, items, worker->thread + 1); item++) {
        const int text = item / slices, start = batch->starts[text];
        const int from = item % slices * SLICE, to = from + SLICE < width ? from + SLICE : width;
        pool(head, worker->memory.states + (ptrdiff_t)start * width,
             worker->memory.pooled + (ptrdiff_t)text * numbers, batch->starts[text + 1] - start,
             width, from, to);
    }
    spend(worker, COPIES);
    wait_for_others(worker);
    for (int text = share(worker, batch->texts, worker->thread);
         text < share(worker, batch->texts, worker->thread + 1); text++)
        judge(head, worker->memory.pooled + (ptrdiff_t)text * numbers,
              batch->logits + (ptrdiff_t)text * head->labels, width);
    spend(worker, PRODUCTS);
}

TARGET static void work(struct worker *worker, int *next) {
    const struct encoder *encoder = worker->encoder;
    const struct batch *batch = worker->batch;
    bfloat16 *states = worker->memory.states;
    const int tokens = batch->tokens, rows = (tokens + HEIGHT - 1) / HEIGHT;
    const int items = batch->texts * encoder->heads, wanted = 2 * worker->threads;
    const struct attention attention = {
        .batch = batch,
        .projected = worker->memory.projected,
        .attended = worker->memory.attended,
        .heads = encoder->heads,
        .size = encoder->width / encoder->heads,
        .parts = worker->threads == 1 || items >= wanted ? 1 : (wanted + items - 1) / items,
    };
    int first = 0, end = tokens, chunk = tokens;
    if (!worker->together) {
        first = share(worker, rows, worker->thread) * HEIGHT;
        end = share(worker, rows, worker->thread + 1) * HEIGHT;
        end = end < tokens ? end : tokens;
        chunk = CHUNK;
    }
    configure_tiles(ROWS, ROWS);
    for (int done = 0; done <= encoder->count; done++) {
        const struct block *last = done ? encoder->blocks + done - 1 : NULL;
        if (done) {
            wait_for_others(worker);
            attend(&attention, worker->memory.attention, next + done % 2);
            spend(worker, ATTENTION);
            wait_for_others(worker);
            /* All are through with the other. */
            __atomic_store_n(next + (done + 1) % 2, 0, __ATOMIC_RELAXED);
        }
        for (int at = first; at < end; at += chunk) {
            const int some = end - at < chunk ? end - at : chunk;
            if (last)
                back(worker, last, at, some);
            else
                before(worker, at, some);
            if (done < encoder->count)
                front(worker, encoder->blocks + done, at, some);
            else if (encoder->last_norm.weight)
                norm(worker, &encoder->last_norm, states + (ptrdiff_t)at * encoder->width,
                     states + (ptrdiff_t)at * encoder->width, some);
        }
    }
    if (batch->ids)
        after(worker);
    _tile_release();
}

/* ---- Threads that don't wait for one another ---- */

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
    const int chunks = (left + CHUNK - 1) / CHUNK;
    int end = nearest(batch, from + left / chunks);
    while (end > text + 1 && batch->starts[end] - from > CHUNK)
        end--;
    return end > text ? end : text + 1;
}

/* Some texts after another go through all layers before the next do: what is made of them on the
 * way stays in the cache, which that of a long line would leave. */
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

/* Whether the table has a row for each id. */
static int all_known(const struct batch *batch) {
    int known = 1;
    for (int token = 0; batch->ids && token < batch->tokens; token++)
        known &= (uint32_t)batch->ids[token] < (uint32_t)batch->vocabulary;
    return known;
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
