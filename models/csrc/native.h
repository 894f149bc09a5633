/* What the library's parts share: its version, and what the processor multiplies bfloat16 with. */

#ifndef LOCKSTEP_NATIVE_H
#define LOCKSTEP_NATIVE_H

#define _DEFAULT_SOURCE /* syscall, clock_gettime */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum { VERSION = 5 }; /* another with every change of what native.py must know */
enum way { NONE, VECTORS, TILES };
enum cell { RNN, GRU, LSTM };

typedef uint16_t bfloat16;

/* Of a recurrence: steps.c. */
struct layer {
    const bfloat16 *driven;  /* (N, stride), of gates * width: W x + b of every token */
    const bfloat16 *weights; /* U, laid out */
    const float *bias;       /* (width), GRU: what is added to U_n h before r; else NULL */
    const int32_t *rows;     /* (length): how many texts have a token at each step */
    float *memory;           /* (rows[0], width): LSTM's c, GRU's h; unused by RNN */
    bfloat16 *states;        /* (N + SPARE, width): h after each token; zeros before */
    int32_t length, width;   /* steps; units, a multiple of LANES */
    int32_t stride, cell, way, backward, threads;
};

/* A linear layer's: encoder.c, like all that follows. */
struct weights {
    const bfloat16 *tiles; /* (outputs / 32, inputs / 32, 2) of 16 pairs of inputs by 16 outputs, each
                            * aligned to 64 bytes */
    const float *bias;     /* (outputs) */
    int32_t inputs, outputs;
};

struct norm {
    const float *weight, *bias; /* (width), or NULL where nothing is to be normed */
    float epsilon;
};

/* A layer of attention and its feed-forward. */
struct block {
    struct weights query_key_value, attention_output, expand, contract;
    struct norm attention_norm, feed_forward_norm;
};

struct encoder {
    const struct block *blocks;
    const bfloat16 *positions; /* (longest text, inputs), added to embeddings; or NULL */
    struct weights project; /* before all blocks; of no outputs where there is none */
    struct norm first_norm, last_norm; /* after that, and after all blocks */
    int32_t count, norms_first; /* blocks; whether their norms come before what they norm for */
    int32_t width, heads, way;
};

/* What time goes into, while somebody looks. */
enum kind { PRODUCTS, ATTENTION, NORMS, COPIES, WAITING, KINDS };

/* Numbers of the table of embeddings. */
enum format { FLOAT16, FLOAT32 };

/* What is made of a text's states. */
enum pooling { MEAN_MAX, MEAN, LAST };

/* From a text's states to its logits. */
struct head {
    const float *weight; /* (labels, width, or twice that of MEAN_MAX) */
    const float *bias;   /* (labels) */
    int32_t labels, pooling;
};

/* Texts one after another: either their ids, to be read to logits, or embeddings and states. */
struct batch {
    const int32_t *ids;         /* (N), or NULL */
    const void *table;          /* (vocabulary, inputs), of a format: their embeddings */
    const struct head *head;    /* for them */
    float *logits;              /* (texts, labels) */
    const bfloat16 *embeddings; /* (N, inputs), where there are no ids: with their positions */
    bfloat16 *states;           /* (N, width), likewise */
    const float *rotation;      /* (2, turned, head / 2): cosines and sines; or NULL */
    const int32_t *starts;      /* (texts + 1): where each begins, and all end: N */
    char *scratch;              /* lockstep_scratch_bytes, aligned to 64 */
    double *seconds;            /* (KINDS): what the call's own thread did in them; or NULL */
    int32_t texts, tokens;      /* N */
    int32_t longest;            /* tokens of the longest */
    int32_t turned, format, vocabulary, threads;
};

/* A recurrence's ends: ends.c. Tokens lie as its layers read them, longest text first. */
struct ragged {
    const struct batch *batch; /* of which ids, table, head, logits and starts are read */
    const int32_t *order;      /* (texts): which of the batch's, from the longest */
    const int32_t *rows;       /* (longest), as a layer's */
    bfloat16 *embedded;        /* (N, inputs) */
    const bfloat16 *states;    /* (N, width) */
    float *pooled;             /* (texts, pooled_of the head) */
    int32_t inputs, width;
};

#if defined(__x86_64__) && defined(__linux__)
#define LOCKSTEP_X86

#include <immintrin.h>

enum {
    LANES = 16,  /* floats of a vector, and columns of a tile */
    ROWS = 16,   /* of a tile */
    INPUTS = 32, /* bfloat16 in a row of a tile: what two tiles are multiplied along */
    TILE = INPUTS * LANES,
};

#define VECTORS_AND_TILES "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16"
#define TARGET __attribute__((target(VECTORS_AND_TILES)))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE __m512 widen(const bfloat16 *from) {
    __m512i halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
}

INLINE void narrow(bfloat16 *to, __m512 values) {
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(values));
}

/* Of six tiles the even ones keep up to `top` rows, the odd `bottom`; the rest, of weights, all. */
INLINE void configure_tiles(int top, int bottom) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } __attribute__((aligned(64))) tiles = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        tiles.bytes[tile] = 64;
        tiles.rows[tile] = (uint8_t)(tile >= 6 ? ROWS : tile % 2 ? bottom : top);
    }
    /* gcc's intrinsic says that it reads 8 bytes, and the rest would be left out. */
    __asm__ volatile("" : : "r"(&tiles) : "memory");
    _tile_loadconfig(&tiles);
}

/* gcc's loads of tiles don't say that they read memory: what was stored before them comes first. */
#define STORED() __asm__ volatile("" : : : "memory")

#endif
#endif
