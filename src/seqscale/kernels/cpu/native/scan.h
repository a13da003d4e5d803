/* The selective scan: what forward and backward share.

   One vector lane is one channel. A *block* is WIDTH channels of one group; a *span* is a run of blocks that one job
   walks through together, tile of TILE time steps by tile, so that rows of B and C serve many channels while they
   are in the cache. A *row* is one batch element or one packed sequence. */
#pragma once

#include "elementary.h"
#include "memory.h"
#include "tile.h"

#ifndef TILE
#error "TILE, the time steps between saved states, comes from build.py"
#endif

/* All members are 64 bits wide, in the order of scan.py. Strides in elements; channels and states have stride 1. */
struct scan {
    int64_t threads, batch, length, channels, states, groups, rows;
    int64_t softplus, u_type, delta_type, z_type, dout_type;
    const void *u, *delta, *z;
    int64_t u_batch, u_time, delta_batch, delta_time, z_batch, z_time;
    const float *A, *B, *C, *D, *bias, *start;
    int64_t B_batch, B_time, B_group, C_batch, C_time, C_group;
    const int64_t *bounds;  /* cu_seqlens, or NULL */
    void *out;              /* (batch, length, channels) in u's dtype */
    float *last, *saved;    /* (rows, channels, states); (chunks, states, channels) or NULL */
    /* backward only */
    const void *dout;
    int64_t dout_batch, dout_time;
    const float *dlast;     /* or NULL */
    void *du, *ddelta, *dz; /* contiguous, in their input's dtype */
    float *dA, *dB, *dC, *dD, *dbias, *dstart;
};

struct row {
    int64_t batch, begin, end, chunk; /* chunk: index of the first of its states in `saved` */
};

INLINE struct row row_of(const struct scan *s, int64_t r) {
    if (s->bounds)
        return (struct row){0, s->bounds[r], s->bounds[r + 1], s->bounds[r] / TILE + r};
    return (struct row){r, 0, s->length, r * ((s->length + TILE - 1) / TILE)};
}

/* How the channels of a group are cut into blocks, and where block `b` of group `g` lies. */
INLINE int64_t blocks_per_group(const struct scan *s) { return (s->channels / s->groups + WIDTH - 1) / WIDTH; }
INLINE int64_t first_channel(const struct scan *s, int64_t g, int64_t b) {
    return g * (s->channels / s->groups) + b * WIDTH;
}
INLINE int lanes_of(const struct scan *s, int64_t b) {
    const int64_t left = s->channels / s->groups - b * WIDTH;
    return left < WIDTH ? (int)left : WIDTH;
}

#define PLANE(s, x, p) plane_of(s->x, s->x##_type, p.batch, s->x##_batch, p.time, s->x##_time, p.channel)
#define ROW(s, x, p) (s->x + p.batch * s->x##_batch + p.time * s->x##_time + p.group * s->x##_group)
#define STATES(s, x, row, channel) (s->x + ((row) * s->channels + (channel)) * s->states)

/* Where a tile of one block lies. */
struct place {
    int64_t batch, time, group, channel;
    int rows, lanes;
};

/* (channels, states) in memory <-> [states][WIDTH] of one block. */
INLINE void gather_states(float *block, const float *source, float factor, int states, int lanes) {
    if (!source || lanes < WIDTH)
        memset(block, 0, sizeof(float) * WIDTH * states);
    if (source)
        for (int i = 0; i < lanes; i++)
            for (int n = 0; n < states; n++)
                block[n * WIDTH + i] = source[i * states + n] * factor;
}
INLINE void scatter_states(float *target, const float *block, int states, int lanes) {
    for (int i = 0; i < lanes; i++)
        for (int n = 0; n < states; n++)
            target[i * states + n] = block[n * WIDTH + i];
}

/* A log2(e) for all blocks, [block][states][WIDTH]: 2^x is what the hardware has. Caller frees. */
INLINE float *decay_rates(const struct scan *s) {
    const int64_t blocks = blocks_per_group(s), size = s->states * WIDTH;
    float *rates;
    if (posix_memalign((void **)&rates, LINE, sizeof(float) * size * blocks * s->groups))
        return NULL;
    for (int64_t g = 0; g < s->groups; g++)
        for (int64_t b = 0; b < blocks; b++)
            gather_states(rates + (g * blocks + b) * size, s->A + first_channel(s, g, b) * s->states, LOG2E,
                          (int)s->states, lanes_of(s, b));
    return rates;
}
