/* The causal depthwise convolution: what forward and backward share. */
#pragma once

#include "elementary.h"
#include "memory.h"
#include "tile.h"

#define PIECE 256 /* time steps of a job: weights' gradients are added up in this order, whatever the threads */

/* All members are 64 bits wide, in the order of convolution.py. */
struct convolution {
    int64_t threads, batch, length, channels, width, rows, silu, x_type, dy_type;
    const void *x;
    int64_t x_batch, x_time;
    const float *weight, *bias; /* (channels, width); (channels,) or NULL */
    const void *start;          /* (rows, width - 1, channels) in x's dtype, or NULL */
    const int64_t *bounds;      /* cu_seqlens, or NULL */
    void *y, *final;            /* (batch, length, channels), (rows, width - 1, channels), in x's dtype */
    /* backward only */
    const void *dy;
    int64_t dy_batch, dy_time;
    const void *dfinal;         /* in x's dtype, or NULL */
    void *dx;                   /* (batch, length, channels) in x's dtype */
    float *dweight, *dbias, *dstart;
};

struct sequence {
    int64_t batch, begin, end;
};

INLINE struct sequence sequence_of(const struct convolution *c, int64_t r) {
    return c->bounds ? (struct sequence){0, c->bounds[r], c->bounds[r + 1]} : (struct sequence){r, 0, c->length};
}

/* Row r's first job in jobs[r]; every row has at least one. Caller frees. */
INLINE int64_t *jobs_of_rows(const struct convolution *c) {
    int64_t *jobs = malloc(sizeof(int64_t) * (c->rows + 1));
    if (jobs) {
        jobs[0] = 0;
        for (int64_t r = 0; r < c->rows; r++) {
            const struct sequence s = sequence_of(c, r);
            jobs[r + 1] = jobs[r] + (s.end > s.begin ? (s.end - s.begin + PIECE - 1) / PIECE : 1);
        }
    }
    return jobs;
}

INLINE int64_t row_of_job(const int64_t *jobs, int64_t rows, int64_t job) {
    int64_t low = 0, high = rows; /* jobs[low] <= job < jobs[high] */
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        *(jobs[middle] <= job ? &low : &high) = middle;
    }
    return low;
}

INLINE int lanes_at(const struct convolution *c, int64_t channel) {
    return c->channels - channel < WIDTH ? (int)(c->channels - channel) : WIDTH;
}

/* [width][WIDTH] from (channels, width) */
INLINE void gather_weights(float *block, const struct convolution *c, int64_t channel) {
    memset(block, 0, sizeof(float) * c->width * WIDTH);
    for (int64_t i = 0; i < lanes_at(c, channel); i++)
        for (int64_t k = 0; k < c->width; k++)
            block[k * WIDTH + i] = c->weight[(channel + i) * c->width + k];
}

/* Inputs `from` ... `from + rows - 1` of a row of the batch, as the convolution sees them: before the row's begin those
   of the initial state (or zeros), after its end zeros. At most width - 1 before the begin. */
static void load_inputs(float *tile, const struct convolution *c, int64_t r, struct sequence s, int64_t from, int rows,
                        int64_t channel) {
    const int lanes = lanes_at(c, channel);
    const int before = from < s.begin ? (int)(s.begin - from < rows ? s.begin - from : rows) : 0;
    if (before) {
        if (c->start)
            load_tile(tile,
                      plane_of(c->start, c->x_type, r, (c->width - 1) * c->channels, c->width - 1 - (s.begin - from),
                               c->channels, channel),
                      before, lanes);
        else
            memset(tile, 0, sizeof(float) * before * WIDTH);
    }
    const int64_t first = from + before, left = s.end - first;
    const int inside = left < 0 ? 0 : left < rows - before ? (int)left : rows - before;
    load_tile(tile + before * WIDTH,
              plane_of(c->x, c->x_type, s.batch, c->x_batch, first, c->x_time, channel), inside, lanes);
    memset(tile + (before + inside) * WIDTH, 0, sizeof(float) * (rows - before - inside) * WIDTH);
}

/* sum_k weight[k] x[k] + bias: the convolution at the step whose `width` inputs start at x */
INLINE vf weighted(const int width, const float *x, const float *weights, vf bias) {
    vf total = bias;
#pragma GCC unroll 4
    for (int k = 0; k < width; k++)
        total += load(weights + k * WIDTH) * load(x + k * WIDTH);
    return total;
}

/* Calls `work(width, ...)` with the common widths as constants, so that their loops unroll. */
#define WITH_WIDTH(width, work, ...)                                                                                   \
    do {                                                                                                               \
        if ((width) == 4)                                                                                              \
            work(4, __VA_ARGS__);                                                                                      \
        else if ((width) == 3)                                                                                         \
            work(3, __VA_ARGS__);                                                                                      \
        else                                                                                                           \
            work((int)(width), __VA_ARGS__);                                                                           \
    } while (0)
