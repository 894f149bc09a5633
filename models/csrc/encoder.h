/* What encoder.c is made of: a thread's part of it, and products, norms and attention of rows, by a
 * thread whose tiles are configured, where it has them (AMX); else by dot products (AVX512-BF16).
 */

#ifndef LOCKSTEP_ENCODER_H
#define LOCKSTEP_ENCODER_H

#include "native.h"

#ifdef LOCKSTEP_X86

#include <time.h>

#pragma GCC visibility push(hidden) /* for these files alone: other libraries have such names */

/* AVX512-VBMI looks up bytes. */
#undef TARGET
#define TARGET __attribute__((target(VECTORS_AND_TILES ",avx512vbmi,tune=sapphirerapids")))

enum {
    HEIGHT = 2 * ROWS,   /* rows of a block of a product: two tiles, by two */
    SLICE = 4 * LANES,   /* features that are pooled in one walk over a text's tokens */
    CHUNK = 20 * HEIGHT, /* tokens that a thread takes at a time */
    ENOUGH = 4 * HEIGHT, /* tokens of a thread: with fewer it computes some outputs of all instead */
};

/* What becomes of a product: W x + b. */
enum after { PLAIN, GELU, SUM /* with what is added */ };

struct product {
    const struct weights *weights;
    const bfloat16 *inputs; /* (rows, inputs) */
    const bfloat16 *added;  /* (rows, outputs), of a SUM; may be the outputs */
    bfloat16 *outputs;      /* (rows, outputs) */
    int way;
};

/* Rows, two columns of tiles, and where the sums of their products go; how many numbers lie between
 * them. */
struct dots {
    const bfloat16 *rows, *tiles;
    float *sums;
    ptrdiff_t row, next;     /* to the row after; to what the next tile is read against */
    ptrdiff_t beside, below; /* to the other column's tile; to the next of the same */
    ptrdiff_t ahead;         /* to tiles that will be read after all of these: they are fetched */
    ptrdiff_t sums_row, sums_beside;
    int depth;   /* tiles of a column */
    int earlier; /* whether to add to sums that are there */
};

/* Products of so many rows with two columns of tiles, by dot products. */
void dot(const struct dots *dots, int rows);

/* Rows `first` to `end`, and outputs `from` to `to`, which are multiples of 32, of a product. */
void multiply(const struct product *product, enum after after, int first, int end, int from,
              int to);

/* Rows `first` to `end`, (rows, width), each by itself; both may be the same. */
void normalize(const struct norm *norm, const bfloat16 *states, bfloat16 *normed, int width,
               int first, int end);

/* Numbers of an embedding. */
static inline ptrdiff_t inputs_of(const struct encoder *encoder) {
    return encoder->project.outputs ? encoder->project.inputs : encoder->width;
}

/* Whether the table has a row for each id. */
int all_known(const struct batch *batch);

/* Embeddings of tokens `first` to `end` and what their positions add: (end - first, inputs). */
void embed(const struct encoder *encoder, const struct batch *batch, bfloat16 *embedded, int first,
           int end);

/* Numbers that are made of a text's states, each of so many. */
static inline int pooled_of(const struct head *head, int width) {
    return head->pooling == MEAN_MAX ? 2 * width : width;
}

/* Pools features `from` to `to` of a text's states, from its first on: (length, width), or by so many
 * rows each from the next. */
void pool(const struct head *head, const bfloat16 *states, float *pooled, int length,
          const int32_t *rows, int width, int from, int to);

/* Logits of what was pooled of a text. */
void judge(const struct head *head, const float *pooled, float *logits, int width);

/* Queries, keys and values of the tokens of texts, and what they attend to. */
struct attention {
    const struct batch *batch;
    const bfloat16 *projected; /* (N, 3, heads, size) */
    bfloat16 *attended;        /* (N, heads, size) */
    int heads, size;
    int way;
    int parts; /* of a text's queries, each of which another thread may take */
};

/* Bytes of what a thread works with, for texts of so many tokens. */
ptrdiff_t attention_bytes(int longest, int size);

/* Takes heads of texts, or parts of them, until the last is `next`. */
void attend(const struct attention *attention, char *memory, int *next);

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

/* Whether threads are on the same tokens, and each computes some outputs: these are few. */
int work_together(const struct batch *batch, int threads);

/* Memory of a thread, of so many, from `base` on. */
struct memory divide(const struct encoder *encoder, const struct batch *batch, char *base,
                     int thread, int threads);

/* A thread's part. `next`: two counters, 0, that all threads share. */
void work(struct worker *worker, int *next);

#pragma GCC visibility pop

#endif
#endif
