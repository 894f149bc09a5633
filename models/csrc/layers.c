/* A thread's part of an encoder, from what a batch has to its states or logits: all layers, of the
 * tokens of texts that lie one after another in a line. It waits for those that share them.
 */

#include "encoder.h"

#ifdef LOCKSTEP_X86

enum { ALIGNED = 64 }; /* bytes of a row of a tile */

int work_together(const struct batch *batch, int threads) {
    return threads > 1 && batch->tokens < ENOUGH * threads;
}

static ptrdiff_t aligned(ptrdiff_t bytes) { return (bytes + ALIGNED - 1) / ALIGNED * ALIGNED; }

static ptrdiff_t bytes_of(ptrdiff_t numbers) {
    return aligned(numbers * (ptrdiff_t)sizeof(bfloat16));
}

struct memory divide(const struct encoder *encoder, const struct batch *batch, char *base,
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
    const struct product product = {weights, inputs, added, outputs, worker->encoder->way};
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
             NULL, width, from, to);
    }
    spend(worker, COPIES);
    wait_for_others(worker);
    for (int text = share(worker, batch->texts, worker->thread);
         text < share(worker, batch->texts, worker->thread + 1); text++)
        judge(head, worker->memory.pooled + (ptrdiff_t)text * numbers,
              batch->logits + (ptrdiff_t)text * head->labels, width);
    spend(worker, PRODUCTS);
}

TARGET void work(struct worker *worker, int *next) {
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
        .way = encoder->way,
        .parts = worker->threads == 1 || items >= wanted ? 1 : (wanted + items - 1) / items,
    };
    int first = 0, end = tokens, chunk = tokens;
    if (!worker->together) {
        first = share(worker, rows, worker->thread) * HEIGHT;
        end = share(worker, rows, worker->thread + 1) * HEIGHT;
        end = end < tokens ? end : tokens;
        chunk = CHUNK;
    }
    if (encoder->way == TILES)
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
    if (encoder->way == TILES)
        _tile_release();
}

#endif
