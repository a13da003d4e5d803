/* The forward scan. Per row, block and tile: the step sizes, then the states a few at a time with everything of theirs
   in registers, y gathered over the states in a tile, then skip and gate. */
#include "scan.h"

#define MANY 8 /* states at a time: their registers are a quarter to a half of those there are */

struct tiles {
    const float *delta, *drive; /* delta after softplus; delta u */
    float *y;
    const float *B, *C;
    int64_t B_time, C_time;
    int rows;
};

/* `count` states from number n on: h = exp(delta A) h + delta u B, y += C h. */
INLINE void advance(const int count, int n, struct tiles x, const float *rates, float *h_memory,
                    const struct ahead *ahead, int part, int parts) {
    vf h[MANY];
    const float *B = x.B + n, *C = x.C + n;
    rates += n * WIDTH;
    h_memory += n * WIDTH;
#pragma GCC unroll 16
    for (int k = 0; k < count; k++)
        h[k] = load(h_memory + k * WIDTH);
    for (int t = 0; t < x.rows; t++, B += x.B_time, C += x.C_time) {
        const vf delta = load(x.delta + t * WIDTH), drive = load(x.drive + t * WIDTH);
        vf even = load(x.y + t * WIDTH), odd = {0};
        look_ahead(ahead, t, part, parts);
#pragma GCC unroll 16
        for (int k = 0; k < count; k++) {
            h[k] = exp2_of(delta * load(rates + k * WIDTH)) * h[k] + drive * B[k];
            if (k % 2)
                odd += h[k] * C[k];
            else
                even += h[k] * C[k];
        }
        store(x.y + t * WIDTH, even + odd);
    }
#pragma GCC unroll 16
    for (int k = 0; k < count; k++)
        store(h_memory + k * WIDTH, h[k]);
}

static void advance_all(int states, struct tiles x, const float *rates, float *h, const struct ahead *ahead) {
    int n = 0, part = 0;
    const int parts = states / MANY ? states / MANY : 1;
    static const struct ahead nothing;
    for (; n + MANY <= states; n += MANY)
        advance(MANY, n, x, rates, h, ahead, part++, parts);
    for (; n + 2 <= states; n += 2)
        advance(2, n, x, rates, h, part < parts ? ahead : &nothing, 0, 1), part = parts;
    for (; n < states; n++)
        advance(1, n, x, rates, h, part < parts ? ahead : &nothing, 0, 1);
}

static struct plane output(const struct scan *s, struct place p) {
    return plane_of(s->out, s->u_type, p.batch, s->length * s->channels, p.time, s->channels, p.channel);
}

static void forward_tile(const struct scan *s, struct place p, struct place next, const float *rates, float *h) {
    float u[TILE * WIDTH] ALIGNED, delta[TILE * WIDTH] ALIGNED, drive[TILE * WIDTH] ALIGNED, y[TILE * WIDTH] ALIGNED;
    load_tile(u, PLANE(s, u, p), p.rows, p.lanes);
    load_tile(delta, PLANE(s, delta, p), p.rows, p.lanes);
    const vf bias = s->bias ? load_lanes(s->bias + p.channel, p.lanes) : splat(0);
    const vf skip = s->D ? load_lanes(s->D + p.channel, p.lanes) : splat(0);
    for (int i = 0; i < p.rows * WIDTH; i += WIDTH) {
        vf d = load(delta + i) + bias;
        if (s->softplus)
            d = softplus(d);
        store(delta + i, d);
        store(drive + i, d * load(u + i));
        store(y + i, skip * load(u + i));
    }
    struct ahead ahead = {2, 1, {PLANE(s, u, next), PLANE(s, delta, next)}, {output(s, next)}};
    if (s->z)
        ahead.read[ahead.reads++] = PLANE(s, z, next);
    advance_all((int)s->states,
                (struct tiles){delta, drive, y, ROW(s, B, p), ROW(s, C, p), s->B_time, s->C_time, p.rows}, rates, h,
                &ahead);
    if (s->z) {
        load_tile(u, PLANE(s, z, p), p.rows, p.lanes);
        for (int i = 0; i < p.rows * WIDTH; i += WIDTH)
            store(y + i, load(y + i) * silu(load(u + i)));
    }
    const struct plane out = output(s, p);
    for (int t = 0; t < p.rows; t++)
        store_row(out, t, load(y + t * WIDTH), p.lanes);
}

/* A span of blocks of one row, from its first state to its last; `h` has room for the span's states. */
static void forward_span(const struct scan *s, const float *rates, int64_t r, int64_t group, int64_t from, int64_t to,
                         float *h) {
    const struct row row = row_of(s, r);
    const int64_t size = s->states * WIDTH;
    rates += (group * blocks_per_group(s) + from) * size;
    for (int64_t b = from; b < to; b++)
        gather_states(h + (b - from) * size, s->start ? STATES(s, start, r, first_channel(s, group, b)) : NULL, 1,
                      (int)s->states, lanes_of(s, b));
    int64_t chunk = row.chunk;
    for (int64_t t = row.begin; t < row.end; t += TILE, chunk++) {
        for (int64_t b = from; b < to; b++) {
            const int rows = row.end - t < TILE ? (int)(row.end - t) : TILE;
            const struct place here = {row.batch, t, group, first_channel(s, group, b), rows, lanes_of(s, b)};
            struct place next = here;
            next.channel = first_channel(s, group, b + 1 < to ? b + 1 : from);
            next.time = b + 1 < to ? t : t + rows;
            float *state = h + (b - from) * size;
            if (s->saved)
                for (int64_t n = 0; n < s->states; n++) {
                    store_lanes(s->saved + (chunk * s->states + n) * s->channels + here.channel,
                                load(state + n * WIDTH), here.lanes);
                    __builtin_prefetch(s->saved + ((chunk + (b + 1 == to)) * s->states + n) * s->channels + next.channel, 1);
                }
            forward_tile(s, here, next, rates + (b - from) * size, state);
        }
    }
    for (int64_t b = from; b < to; b++)
        scatter_states(STATES(s, last, r, first_channel(s, group, b)), h + (b - from) * size, (int)s->states,
                       lanes_of(s, b));
}

/* 0, or 1 where there is no memory. The result does not depend on the cut into jobs. */
int seqscale_scan_forward(const struct scan *s) {
    const int64_t blocks = blocks_per_group(s), total = s->rows * s->groups * blocks;
    int64_t span = total / (4 * s->threads); /* four jobs for each thread, or as many as there are */
    span = span < 1 ? 1 : span > 16 ? 16 : span;
    span = span > blocks ? blocks : span;
    const int64_t spans = (blocks + span - 1) / span, jobs = s->rows * s->groups * spans;
    const int64_t some = 1 + jobs / (8 * s->threads);
    float *rates = decay_rates(s);
    int failed = !rates;
#pragma omp parallel num_threads((int)s->threads) if (s->threads > 1 && jobs > 1)
    {
        float *h = rates ? scratch(sizeof(float) * span * s->states * WIDTH) : NULL;
        const float_mode mode = flush_denormals();
        if (!h) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, some)
        for (int64_t job = 0; job < jobs; job++) {
            const int64_t k = job / s->rows % spans, from = k * span, to = from + span < blocks ? from + span : blocks;
            if (h)
                forward_span(s, rates, job % s->rows, job / s->rows / spans, from, to, h);
        }
        restore_denormals(mode);
    }
    free(rates);
    return failed;
}
