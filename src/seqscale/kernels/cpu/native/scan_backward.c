/* The backward scan. Tiles are walked from the last to the first. Within a tile, a few states at a time, every block
   runs forward again from the saved state, keeping decays and states in the cache, then in reverse:

       g_t = dy_t C_t + a_{t+1} g_{t+1}               gradient of h_t
       w_t = a_t g_t h_{t-1}                          gradient of delta_t A
       ddrive_t += <g_t, B_t>, drate_t += <w_t, A>, dA += w_t delta_t

   dB and dC are sums over channels: lanes first stay apart, added up over the blocks of the span in the cache, then
   one tree of additions sums the lanes, then the spans are added in order. The cut into spans follows from the shape
   alone, so the result is the same to the bit on every run and with any number of threads. */
#include "scan.h"

#define FEW 4 /* states at a time: their decays, states and sums over a tile fill half of a first-level cache */

/* The tiles of one block, [TILE][WIDTH] each. */
struct block {
    float *u, *delta, *drive, *dy;   /* delta after softplus; drive = delta u; dy: gradient before the gate */
    float *slope, *gate;             /* d softplus; dout silu'(z) */
    float *y, *ddrive, *drate;       /* sums over the states; drate is for A log2(e) */
    float *g, *dA, *dA_rest;         /* [states][WIDTH]: a_{t+1} g_{t+1} beyond the tile; sum and its rounding */
    float *sums;                     /* [4][WIDTH]: dD, dbias and their roundings */
    const float *rates;
};

/* What lies in the first-level cache while FEW states pass over a tile. */
struct work {
    float *a, *h, *dB, *dC; /* [TILE][FEW][WIDTH], h one step longer: h[t] is the state before step t */
};

struct job {
    const struct scan *s;
    struct row row;
    int64_t r, group, from, to;
    struct block *blocks;
    struct work work;
    float *dB, *dC;   /* (batch, length, groups, states), this span's share */
    float *dparameters; /* (rows, states + 2, channels): dA, dD, dbias by row */
};

/* Neumaier's sum: a long sequence adds up as many tiles as it has, and float32 alone would lose digits. */
INLINE void add_exactly(float *sum, float *rest, vf x) {
    const vf old = load(sum), total = old + x;
    const vi big = absolute(old) >= absolute(x);
    store(rest, load(rest) + choose(big, (old - total) + x, (x - total) + old));
    store(sum, total);
}

/* `count` states from number n on, over one tile of one block. */
INLINE void states_of_tile(const int count, int n, int rows, const struct block *b, const struct work *w, const int first,
                           const float *B, int64_t B_time, const float *C, int64_t C_time, struct stream reads,
                           struct stream writes) {
    const float *restrict rates = b->rates + n * WIDTH, *restrict deltas = b->delta, *restrict drives = b->drive;
    const float *restrict dys = b->dy;
    float *restrict a_of = w->a, *restrict h_of = w->h, *restrict dB = w->dB, *restrict dC = w->dC;
    float *restrict ys = b->y, *restrict ddrives = b->ddrive, *restrict drates = b->drate;
    vf h[FEW], g[FEW], dA[FEW];
#pragma GCC unroll 4
    for (int k = 0; k < count; k++)
        h[k] = load(h_of + k * WIDTH);
    for (int t = 0; t < rows; t++) {
        const vf delta = load(deltas + t * WIDTH), drive = load(drives + t * WIDTH), dy = load(dys + t * WIDTH);
        vf y = {0};
        __builtin_prefetch(reads.p), reads.p += reads.step;
        __builtin_prefetch(writes.p, 1), writes.p += writes.step;
#pragma GCC unroll 4
        for (int k = 0; k < count; k++) {
            const int i = (t * count + k) * WIDTH;
            const vf a = exp2_of(delta * load(rates + k * WIDTH));
            h[k] = a * h[k] + drive * B[t * B_time + k];
            store(a_of + i, a);
            store(h_of + i + count * WIDTH, h[k]);
            store(dC + i, first ? dy * h[k] : load(dC + i) + dy * h[k]);
            y += h[k] * C[t * C_time + k];
        }
        store(ys + t * WIDTH, load(ys + t * WIDTH) + y);
    }
#pragma GCC unroll 4
    for (int k = 0; k < count; k++) {
        g[k] = load(b->g + (n + k) * WIDTH);
        dA[k] = (vf){0};
    }
    for (int t = rows - 1; t >= 0; t--) {
        const vf delta = load(deltas + t * WIDTH), drive = load(drives + t * WIDTH), dy = load(dys + t * WIDTH);
        vf ddrive = load(ddrives + t * WIDTH), drate = load(drates + t * WIDTH);
#pragma GCC unroll 4
        for (int k = 0; k < count; k++) {
            const int i = (t * count + k) * WIDTH;
            const vf here = g[k] + dy * C[t * C_time + k];
            store(dB + i, first ? here * drive : load(dB + i) + here * drive);
            ddrive += here * B[t * B_time + k];
            g[k] = here * load(a_of + i);
            const vf exponent = g[k] * load(h_of + i);
            drate += exponent * load(rates + k * WIDTH);
            dA[k] += exponent * delta;
        }
        store(ddrives + t * WIDTH, ddrive);
        store(drates + t * WIDTH, drate);
    }
#pragma GCC unroll 4
    for (int k = 0; k < count; k++) {
        store(b->g + (n + k) * WIDTH, g[k]);
        add_exactly(b->dA + (n + k) * WIDTH, b->dA_rest + (n + k) * WIDTH, dA[k]);
    }
}

/* Sums over lanes of [rows][count][WIDTH], to rows of `target` that are `step` apart. */
INLINE void sum_lanes(float *target, int64_t step, const float *sums, int rows, const int count) {
    vf x[WIDTH];
    for (int i = 0; i < rows * count; i += WIDTH) {
        const int many = rows * count - i < WIDTH ? rows * count - i : WIDTH;
        for (int k = 0; k < WIDTH; k++)
            x[k] = k < many ? load(sums + (i + k) * WIDTH) : (vf){0};
        float total[WIDTH] ALIGNED;
        store(total, sums_of_lanes(x));
        for (int k = 0; k < many; k += count)
            memcpy(target + (i + k) / count * step, total + k, sizeof(float) * count);
    }
}

static void prepare(const struct scan *s, struct place p, const struct block *b) {
    load_tile(b->u, PLANE(s, u, p), p.rows, p.lanes);
    load_tile(b->delta, PLANE(s, delta, p), p.rows, p.lanes);
    load_tile(b->dy, PLANE(s, dout, p), p.rows, p.lanes);
    if (s->z)
        load_tile(b->gate, PLANE(s, z, p), p.rows, p.lanes);
    const vf bias = s->bias ? load_lanes(s->bias + p.channel, p.lanes) : splat(0);
    const vf skip = s->D ? load_lanes(s->D + p.channel, p.lanes) : splat(0);
    for (int i = 0; i < p.rows * WIDTH; i += WIDTH) {
        vf delta = load(b->delta + i) + bias;
        const vf u = load(b->u + i), dout = load(b->dy + i);
        if (s->softplus) {
            store(b->slope + i, sigmoid(delta));
            delta = softplus(delta);
            store(b->delta + i, delta);
        } else if (s->bias) {
            store(b->delta + i, delta);
        }
        if (s->z) { /* y silu(z): silu'(z) = s (1 + z (1 - s)), s = sigmoid(z) */
            const vf z = load(b->gate + i), open = sigmoid(z);
            store(b->dy + i, dout * z * open);
            store(b->gate + i, dout * (open * (1.0f + z * (1.0f - open))));
            store(b->y + i, skip * u);
        }
        store(b->drive + i, delta * u);
        store(b->ddrive + i, (vf){0});
        store(b->drate + i, (vf){0});
    }
}

static struct plane gradient(const struct scan *s, void *base, int64_t type, struct place p) {
    return plane_of(base, type, p.batch, s->length * s->channels, p.time, s->channels, p.channel);
}

static void finish(const struct scan *s, struct place p, const struct block *b) {
    const struct plane du = gradient(s, s->du, s->u_type, p), ddelta = gradient(s, s->ddelta, s->delta_type, p);
    const struct plane dz = s->z ? gradient(s, s->dz, s->z_type, p) : du;
    const vf skip = s->D ? load_lanes(s->D + p.channel, p.lanes) : splat(0);
    vf dD = {0}, dbias = {0};
    for (int t = 0; t < p.rows; t++) {
        const int i = t * WIDTH;
        const vf u = load(b->u + i), dy = load(b->dy + i), ddrive = load(b->ddrive + i);
        vf step = load(b->drate + i) * LN2 + ddrive * u;
        if (s->softplus)
            step *= load(b->slope + i);
        store_row(du, t, ddrive * load(b->delta + i) + skip * dy, p.lanes);
        store_row(ddelta, t, step, p.lanes);
        if (s->z)
            store_row(dz, t, load(b->gate + i) * load(b->y + i), p.lanes);
        dD += dy * u;
        dbias += step;
    }
    add_exactly(b->sums, b->sums + 2 * WIDTH, dD);
    add_exactly(b->sums + WIDTH, b->sums + 3 * WIDTH, dbias);
}

static struct ahead next_tile(const struct scan *s, struct place p) {
    struct ahead ahead = {3, 2, {PLANE(s, u, p), PLANE(s, delta, p), PLANE(s, dout, p)},
                          {gradient(s, s->du, s->u_type, p), gradient(s, s->ddelta, s->delta_type, p)}};
    if (s->z) {
        ahead.read[ahead.reads++] = PLANE(s, z, p);
        ahead.write[ahead.writes++] = gradient(s, s->dz, s->z_type, p);
    }
    return ahead;
}

static void backward_tile(const struct job *j, int64_t t, int rows, int64_t chunk) {
    const struct scan *s = j->s;
    const int states = (int)s->states;
    const float *B = s->B + j->row.batch * s->B_batch + t * s->B_time + j->group * s->B_group;
    const float *C = s->C + j->row.batch * s->C_batch + t * s->C_time + j->group * s->C_group;
    const int64_t shared = ((j->row.batch * s->length + t) * s->groups + j->group) * states;
    struct place p = {j->row.batch, t, j->group, 0, rows, 0};
    for (int64_t b = j->from; b < j->to; b++) {
        p.channel = first_channel(s, j->group, b), p.lanes = lanes_of(s, b);
        prepare(s, p, j->blocks + b - j->from);
    }
    for (int n = 0, part = 0; n < states; part++) {
        const int count = states - n >= FEW ? FEW : 1;
        for (int64_t b = j->from; b < j->to; b++) {
            const struct block *block = j->blocks + b - j->from;
            p.channel = first_channel(s, j->group, b), p.lanes = lanes_of(s, b);
            const float *saved = s->saved + (chunk * states + n) * s->channels + p.channel;
            for (int k = 0; k < count; k++) {
                store(j->work.h + k * WIDTH, load_lanes(saved + k * s->channels, p.lanes));
                __builtin_prefetch(saved + (k - states) * s->channels);
            }
            struct place next = p;
            next.time -= TILE;
            const struct ahead ahead = next_tile(s, next);
            struct stream r=part<ahead.reads?(struct stream){ahead.read[part].first,ahead.read[part].step}:(struct stream){(char*)block->u,0};
            struct stream v=part<ahead.writes?(struct stream){ahead.write[part].first,ahead.write[part].step}:(struct stream){(char*)block->u,0};
            if (count == FEW && b == j->from)
                states_of_tile(FEW, n, rows, block, &j->work, 1, B + n, s->B_time, C + n, s->C_time, r, v);
            else if (count == FEW)
                states_of_tile(FEW, n, rows, block, &j->work, 0, B + n, s->B_time, C + n, s->C_time, r, v);
            else
                states_of_tile(1, n, rows, block, &j->work, b == j->from, B + n, s->B_time, C + n, s->C_time, r, v);
        }
        if (count == FEW) {
            sum_lanes(j->dB + shared + n, s->groups * states, j->work.dB, rows, FEW);
            sum_lanes(j->dC + shared + n, s->groups * states, j->work.dC, rows, FEW);
        } else {
            sum_lanes(j->dB + shared + n, s->groups * states, j->work.dB, rows, 1);
            sum_lanes(j->dC + shared + n, s->groups * states, j->work.dC, rows, 1);
        }
        n += count;
    }
    for (int64_t b = j->from; b < j->to; b++) {
        p.channel = first_channel(s, j->group, b), p.lanes = lanes_of(s, b);
        finish(s, p, j->blocks + b - j->from);
    }
}

static int64_t floats_of_block(const struct scan *s) { return 9 * TILE * WIDTH + (3 * s->states + 4) * WIDTH; }
#define FLOATS_OF_WORK ((4 * TILE + 1) * FEW * WIDTH)

static void lay_out(struct block *b, const struct scan *s, float *memory) {
    float **tiles[] = {&b->u, &b->delta, &b->drive, &b->dy, &b->slope, &b->gate, &b->y, &b->ddrive, &b->drate};
    for (int i = 0; i < 9; i++, memory += TILE * WIDTH)
        *tiles[i] = memory;
    b->g = memory;
    b->dA = b->g + s->states * WIDTH;
    b->dA_rest = b->dA + s->states * WIDTH;
    b->sums = b->dA_rest + s->states * WIDTH;
}

/* A span of blocks of one row, from its last state to its first. */
static void backward_span(struct job *j, const float *rates, float *memory) {
    const struct scan *s = j->s;
    const int64_t states = s->states;
    j->work.a = memory;
    j->work.h = j->work.a + TILE * FEW * WIDTH;
    j->work.dB = j->work.h + (TILE + 1) * FEW * WIDTH;
    j->work.dC = j->work.dB + TILE * FEW * WIDTH;
    memory += FLOATS_OF_WORK;
    for (int64_t i = j->from; i < j->to; i++, memory += floats_of_block(s)) {
        struct block *b = j->blocks + i - j->from;
        lay_out(b, s, memory);
        b->rates = rates + (j->group * blocks_per_group(s) + i) * states * WIDTH;
        gather_states(b->g, s->dlast ? STATES(s, dlast, j->r, first_channel(s, j->group, i)) : NULL, 1, (int)states,
                      lanes_of(s, i));
        memset(b->dA, 0, sizeof(float) * (2 * states + 4) * WIDTH);
    }
    const int64_t chunks = (j->row.end - j->row.begin + TILE - 1) / TILE;
    for (int64_t k = chunks - 1; k >= 0; k--) {
        const int64_t t = j->row.begin + k * TILE, left = j->row.end - t;
        backward_tile(j, t, left < TILE ? (int)left : TILE, j->row.chunk + k);
    }
    for (int64_t i = j->from; i < j->to; i++) {
        const struct block *b = j->blocks + i - j->from;
        const int64_t channel = first_channel(s, j->group, i);
        float *share = j->dparameters + j->r * (states + 2) * s->channels + channel;
        const int lanes = lanes_of(s, i);
        scatter_states(STATES(s, dstart, j->r, channel), b->g, (int)states, lanes);
        for (int64_t n = 0; n < states; n++)
            store_lanes(share + n * s->channels, load(b->dA + n * WIDTH) + load(b->dA_rest + n * WIDTH), lanes);
        for (int64_t n = 0; n < 2; n++)
            store_lanes(share + (states + n) * s->channels,
                        load(b->sums + n * WIDTH) + load(b->sums + (2 + n) * WIDTH), lanes);
    }
}

/* Parameter n (a state's column of dA, then dD, then dbias) summed over the rows in their order, in double. */
static void add_rows(const struct scan *s, const float *shares, int64_t n) {
    float *target = n < s->states ? s->dA + n : n == s->states ? s->dD : s->dbias;
    const int64_t step = n < s->states ? s->states : 1;
    if (!target)
        return;
    for (int64_t from = 0; from < s->channels; from += 64) {
        const int many = s->channels - from < 64 ? (int)(s->channels - from) : 64;
        double total[64] = {0};
        for (int64_t r = 0; r < s->rows; r++) {
            const float *share = shares + (r * (s->states + 2) + n) * s->channels + from;
            for (int i = 0; i < many; i++)
                total[i] += share[i];
        }
        for (int i = 0; i < many; i++)
            target[(from + i) * step] = (float)total[i];
    }
}

/* PIECE elements of dB (or dC) summed over the spans in their order. */
#define PIECE 1024
static void add_spans(const struct scan *s, const float *shares, int64_t spans, int second, int64_t from) {
    const int64_t shared = s->batch * s->length * s->groups * s->states;
    const int64_t many = shared - from < PIECE ? shared - from : PIECE;
    float *restrict target = (second ? s->dC : s->dB) + from;
    shares += second * shared + from;
    memcpy(target, shares, sizeof(float) * many);
    for (int64_t k = 1; k < spans; k++) {
        const float *restrict share = shares + 2 * k * shared;
        for (int64_t i = 0; i < many; i++)
            target[i] += share[i];
    }
}

/* Blocks side by side in a job: many, so that lanes are summed seldom, but as few as leave 16 jobs and fit a
   second-level cache. From the shape alone: see the head of this file. */
static int64_t blocks_of_span(const struct scan *s, int64_t blocks) {
    int64_t span = s->rows * s->groups * blocks / 16;
    const int64_t most = s->states <= 32 ? 8 : s->states <= 128 ? 2 : 1;
    span = span > most ? most : span;
    span = span > blocks ? blocks : span;
    return span < 1 ? 1 : span;
}

/* 0, or 1 where there is no memory. */
int seqscale_scan_backward(const struct scan *s) {
    const int64_t blocks = blocks_per_group(s), span = blocks_of_span(s, blocks), spans = (blocks + span - 1) / span;
    const int64_t jobs = s->rows * s->groups * spans, shared = s->batch * s->length * s->groups * s->states;
    const int64_t some = 1 + jobs / (8 * s->threads); /* neighbours: what a row asks for ahead is the next row */
    float *rates = decay_rates(s);
    float *dparameters = malloc(sizeof(float) * s->rows * (s->states + 2) * s->channels + 1);
    float *shares = spans > 1 ? malloc(sizeof(float) * 2 * spans * shared + 1) : s->dB;
    int failed = !rates || !dparameters || !shares;
    const int64_t pieces = (shared + PIECE - 1) / PIECE;
#pragma omp parallel num_threads((int)s->threads) if (s->threads > 1 && jobs > 1)
    {
        const size_t floats = FLOATS_OF_WORK + span * floats_of_block(s);
        char *memory = failed ? NULL : scratch(sizeof(float) * floats + span * sizeof(struct block));
        const float_mode mode = flush_denormals();
        if (!memory) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, some)
        for (int64_t i = 0; i < jobs; i++) {
            const int64_t row = s->rows - 1 - i % s->rows, k = i / s->rows % spans;
            struct job j = {.s = s, .row = row_of(s, row), .r = row, .group = i / s->rows / spans};
            j.from = k * span;
            j.to = j.from + span < blocks ? j.from + span : blocks;
            j.blocks = (struct block *)(memory + sizeof(float) * floats);
            j.dB = spans > 1 ? shares + 2 * k * shared : s->dB;
            j.dC = spans > 1 ? shares + (2 * k + 1) * shared : s->dC;
            j.dparameters = dparameters;
            if (memory)
                backward_span(&j, rates, (float *)memory);
        }
#pragma omp for schedule(static) nowait
        for (int64_t n = 0; n < s->states + 2; n++)
            if (memory)
                add_rows(s, dparameters, n);
        if (spans > 1) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < 2 * pieces; i++)
                if (memory)
                    add_spans(s, shares, spans, i % 2, i / 2 * PIECE);
        }
        restore_denormals(mode);
    }
    free(rates);
    free(dparameters);
    if (spans > 1)
        free(shares);
    return failed;
}
