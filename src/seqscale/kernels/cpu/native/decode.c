/* A stack of Mamba blocks for one token per row, x + mixer(norm(x)) each, or one mixer alone, in a single call.

   What decoding costs is reading the weights once, so nothing else may cost much: nothing is allocated, rows share each
   weight that is loaded, and the channels are cut into shards, each with its part of every projection, so that threads
   meet only twice in a layer. What is between, norms and sums over the shards, every shard does for itself. The cut
   follows from the sizes alone: the result is the same with any number of threads. */
#include "memory.h"
#include "step.h"

enum { NO_NORM = 0, LAYER_NORM = 1, RMS_NORM = 2 };

/* All members are 64 bits wide, in the order of decode.py. float32, contiguous. */
struct layer {
    int64_t norm;                         /* and x is added to what comes out, unless NO_NORM */
    double epsilon;
    const float *norm_weight, *norm_bias; /* (d_model,); may be NULL */
    const float *in_weight, *in_bias;     /* (2 d_inner, d_model); biases may be NULL */
    const float *conv_weight, *conv_bias; /* (d_inner, 1, d_conv) */
    const float *x_weight, *x_bias;       /* (dt_rank + 2 d_state, d_inner) */
    const float *dt_weight, *dt_bias;     /* (d_inner, dt_rank) */
    const float *out_weight, *out_bias;   /* (d_model, d_inner) */
    const float *A_log, *D;               /* (d_inner, d_state), (d_inner,) */
};
struct states {
    const float *conv, *ssm;              /* (rows, d_conv - 1, d_inner), (rows, d_inner, d_state) */
    float *next_conv, *next_ssm;          /* may not be the same memory as the above */
};
struct token {
    int64_t threads, layers, rows, d_model, d_inner, d_state, d_conv, dt_rank;
    const float *x; /* (rows, d_model) */
    float *y;
};

/* A matrix in memory or a part of its columns: `step` floats from row to row. */
struct matrix {
    const float *first;
    int64_t step;
    int inputs, outputs;
};

/* <weight[o], x> for `many` <= WIDTH rows of weights side by side, each with its sums in a register of its own. */
INLINE vf outputs_of(const int many, const float *weight, int64_t step, const float *x, int inputs) {
    vf sums[WIDTH];
#pragma GCC unroll 16
    for (int o = 0; o < WIDTH; o++)
        sums[o] = splat(0);
    int i = 0;
    for (; i + WIDTH <= inputs; i += WIDTH) {
        const vf now = load(x + i);
#pragma GCC unroll 16
        for (int o = 0; o < many; o++)
            sums[o] += load(weight + o * step + i) * now;
    }
    if (i < inputs) {
        const vf now = load_first(x + i, inputs - i);
        for (int o = 0; o < many; o++)
            sums[o] += load_first(weight + o * step + i, inputs - i) * now;
    }
    return sums_of_lanes(sums);
}

/* y[r][o] = <weight[o], x[r]> + bias[o]. A few rows of weights stay in the cache while all rows of x pass. */
static void linear(struct matrix w, const float *bias, const float *x, int64_t x_step, float *y, int64_t y_step,
                   int64_t rows) {
    for (int o = 0; o < w.outputs; o += WIDTH) {
        const int many = w.outputs - o < WIDTH ? w.outputs - o : WIDTH;
        const float *weight = w.first + o * w.step;
        const vf offset = bias ? load_lanes(bias + o, many) : splat(0);
        for (int64_t r = 0; r < rows; r++) {
            const vf total = many == WIDTH ? outputs_of(WIDTH, weight, w.step, x + r * x_step, w.inputs)
                                           : outputs_of(many, weight, w.step, x + r * x_step, w.inputs);
            store_lanes(y + r * y_step + o, total + offset, many);
        }
    }
}

/* (lanes, taps) -> [taps][WIDTH] */
INLINE void transpose(float *block, const float *weight, const int taps, const int lanes) {
    for (int i = 0; i < lanes; i++)
        for (int k = 0; k < taps; k++)
            block[k * WIDTH + i] = weight[i * taps + k];
}

/* The convolution of channels `from` ... `to - 1` at this token, SiLU after it; x is changed in place. */
static void convolve(const struct token *m, const struct layer *l, int64_t from, int64_t to, const float *before,
                     float *after, float *x, float *weights) {
    const int64_t past = m->d_conv - 1, wide = m->d_inner;
    for (int64_t d = from; d < to; d += WIDTH) {
        const int lanes = to - d < WIDTH ? (int)(to - d) : WIDTH;
        if (m->d_conv == 4 && lanes == WIDTH)
            transpose(weights, l->conv_weight + d * 4, 4, WIDTH);
        else
            transpose(weights, l->conv_weight + d * m->d_conv, (int)m->d_conv, lanes);
        const vf now = load_lanes(x + d, lanes);
        vf total = load(weights + past * WIDTH) * now + (l->conv_bias ? load_lanes(l->conv_bias + d, lanes) : splat(0));
        for (int64_t k = 0; k < past; k++) {
            const vf then = load_lanes(before + k * wide + d, lanes);
            total += load(weights + k * WIDTH) * then;
            if (k)
                store_lanes(after + (k - 1) * wide + d, then, lanes);
        }
        if (past)
            store_lanes(after + (past - 1) * wide + d, now, lanes);
        store_lanes(x + d, silu(total), lanes);
    }
}

/* The state space and the gate of channels `from` ... `to - 1`: y goes over z's place. In loops of their own, because
   softplus, states and gate of one block depend on each other: a chain in which a processor would mostly wait. */
static void select_and_gate(const struct token *m, const struct layer *l, int64_t from, int64_t to,
                            const float *before, float *after, float *delta, const float *B, const float *x, float *z) {
    const int64_t states = m->d_state;
    for (int64_t d = from; d < to; d += WIDTH) {
        const int lanes = to - d < WIDTH ? (int)(to - d) : WIDTH;
        store_lanes(delta + d, softplus(load_lanes(delta + d, lanes)), lanes);
        store_lanes(z + d, silu(load_lanes(z + d, lanes)), lanes);
    }
    for (int64_t d = from; d < to; d += WIDTH) {
        const int lanes = to - d < WIDTH ? (int)(to - d) : WIDTH;
        const vf u = load_lanes(x + d, lanes);
        const vf y = step_block(load_lanes(delta + d, lanes), u, l->A_log + d * states, 1, B, B + states,
                                before + d * states, after + d * states, (int)states, lanes);
        store_lanes(z + d, (y + load_lanes(l->D + d, lanes) * u) * load_lanes(z + d, lanes), lanes);
    }
}

/* What all shards share. A shard's own memory: x, its norm, the low-rank part, the convolution's weights. */
struct work {
    float *xz, *delta;              /* (rows, 2 d_inner), (rows, d_inner) */
    float *low_shares, *out_shares; /* (shards, rows, dt_rank + 2 d_state), (shards, rows, d_model) */
    float *own;
    int64_t shards, each, own_floats;
};

/* target = target + sum over the shards of [shard][floats] + a bias that repeats every `period` floats */
static void add_shards(float *target, const float *shares, int64_t shards, int64_t floats, const float *bias,
                       int64_t period) {
    for (int64_t k = 0; k < shards; k++)
        for (int64_t i = 0; i < floats; i++)
            target[i] += shares[k * floats + i];
    for (int64_t r = 0; bias && r < floats; r += period)
        for (int64_t i = 0; i < period; i++)
            target[r + i] += bias[i];
}

INLINE vf first_lanes(vf x, int many) {
    for (int i = many; i < WIDTH; i++)
        x[i] = 0;
    return x;
}

static void normalise(const struct token *m, const struct layer *l, const float *x, float *y) {
    const int64_t many = m->d_model;
    for (int64_t r = 0; r < m->rows; r++, x += many, y += many) {
        vf sums = {0}, squares = {0};
        float mean = 0;
        if (l->norm == LAYER_NORM) {
            for (int64_t i = 0; i < many; i += WIDTH)
                sums += load_lanes(x + i, many - i < WIDTH ? (int)(many - i) : WIDTH);
            mean = sum_of_lanes(sums) / (float)many;
        }
        for (int64_t i = 0; i < many; i += WIDTH) {
            const int lanes = many - i < WIDTH ? (int)(many - i) : WIDTH;
            const vf off = load_lanes(x + i, lanes) - mean;
            squares += lanes == WIDTH ? off * off : first_lanes(off * off, lanes);
        }
        const float scale = 1 / sqrtf(sum_of_lanes(squares) / (float)many + (float)l->epsilon);
        for (int64_t i = 0; i < many; i++)
            y[i] = (x[i] - mean) * scale * (l->norm_weight ? l->norm_weight[i] : 1) +
                   (l->norm_bias ? l->norm_bias[i] : 0);
    }
}

/* From x to the shard's share of the low-rank projection. */
static void first_half(const struct token *m, const struct layer *l, const struct states *s, const struct work *w,
                       int64_t shard, int64_t from, int64_t to, const float *x, float *weights) {
    const int64_t wide = m->d_inner, low = m->dt_rank + 2 * m->d_state, past = m->d_conv - 1;
    const struct matrix in = {l->in_weight + from * m->d_model, m->d_model, (int)m->d_model, (int)(to - from)};
    const struct matrix gate = {in.first + wide * m->d_model, m->d_model, (int)m->d_model, (int)(to - from)};
    linear(in, l->in_bias ? l->in_bias + from : NULL, x, m->d_model, w->xz + from, 2 * wide, m->rows);
    linear(gate, l->in_bias ? l->in_bias + wide + from : NULL, x, m->d_model, w->xz + wide + from, 2 * wide, m->rows);
    for (int64_t r = 0; r < m->rows; r++)
        convolve(m, l, from, to, s->conv + r * past * wide, s->next_conv + r * past * wide, w->xz + r * 2 * wide,
                 weights);
    linear((struct matrix){l->x_weight + from, wide, (int)(to - from), (int)low}, NULL, w->xz + from, 2 * wide,
           w->low_shares + shard * m->rows * low, low, m->rows);
}

/* From the low-rank projection to the shard's share of what comes out. */
static void second_half(const struct token *m, const struct layer *l, const struct states *s, const struct work *w,
                        int64_t shard, int64_t from, int64_t to, float *dbc) {
    const int64_t wide = m->d_inner, low = m->dt_rank + 2 * m->d_state, states = m->d_inner * m->d_state;
    memset(dbc, 0, sizeof(float) * m->rows * low);
    add_shards(dbc, w->low_shares, w->shards, m->rows * low, l->x_bias, low);
    linear((struct matrix){l->dt_weight + from * m->dt_rank, m->dt_rank, (int)m->dt_rank, (int)(to - from)},
           l->dt_bias ? l->dt_bias + from : NULL, dbc, low, w->delta + from, wide, m->rows);
    for (int64_t r = 0; r < m->rows; r++)
        select_and_gate(m, l, from, to, s->ssm + r * states, s->next_ssm + r * states, w->delta + r * wide,
                        dbc + r * low + m->dt_rank, w->xz + r * 2 * wide, w->xz + r * 2 * wide + wide);
    linear((struct matrix){l->out_weight + from, wide, (int)(to - from), (int)m->d_model}, NULL, w->xz + wide + from,
           2 * wide, w->out_shares + shard * m->rows * m->d_model, m->d_model, m->rows);
}

/* x becomes what the layer before it gives: added to x behind a norm, in place of x without. */
static void receive(const struct token *m, const struct layer *before, const struct work *w, float *x) {
    if (before->norm == NO_NORM)
        memset(x, 0, sizeof(float) * m->rows * m->d_model);
    add_shards(x, w->out_shares, w->shards, m->rows * m->d_model, before->out_bias, m->d_model);
}

/* About 256 KB of weights for a shard, whole blocks of channels, at most 8. */
static int64_t channels_of_shard(const struct token *m) {
    const int64_t weights = m->d_inner * (3 * m->d_model + 2 * m->dt_rank + 4 * m->d_state);
    int64_t shards = (weights + 32768) / 65536;
    shards = shards < 1 ? 1 : shards > 8 ? 8 : shards;
    return ((m->d_inner + shards - 1) / shards + 31) / 32 * 32;
}

/* 0, or 1 where there is no memory. */
int seqscale_mamba_step(const struct token *m, const struct layer *layers, const struct states *states) {
    const int64_t wide = m->d_inner, low = m->dt_rank + 2 * m->d_state, size = m->rows * m->d_model;
    struct work w = {.each = channels_of_shard(m)};
    w.shards = (wide + w.each - 1) / w.each;
    w.own_floats = 2 * size + m->rows * low + m->d_conv * WIDTH + 64;
    const int64_t floats = m->rows * (3 * wide + w.shards * low) + w.shards * (size + w.own_floats) + 96;
    const int64_t threads = m->threads < w.shards ? m->threads : w.shards;
    float *memory = scratch(sizeof(float) * floats);
    if (!memory)
        return 1;
    w.xz = take(&memory, m->rows * 2 * wide);
    w.delta = take(&memory, m->rows * wide);
    w.low_shares = take(&memory, w.shards * m->rows * low);
    w.out_shares = take(&memory, w.shards * size);
    w.own = memory;
#pragma omp parallel num_threads((int)threads) if (threads > 1)
    {
        const float_mode mode = flush_denormals();
        for (int64_t i = 0; i < m->layers; i++) {
            const struct layer *l = layers + i;
#pragma omp for schedule(static)
            for (int64_t k = 0; k < w.shards; k++) {
                float *own = w.own + k * w.own_floats, *x = take(&own, size), *normed = take(&own, size);
                if (i == 0)
                    memcpy(x, m->x, sizeof(float) * size);
                else
                    receive(m, l - 1, &w, x);
                if (l->norm != NO_NORM)
                    normalise(m, l, x, normed);
                const int64_t from = k * w.each, to = from + w.each < wide ? from + w.each : wide;
                first_half(m, l, states + i, &w, k, from, to, l->norm == NO_NORM ? x : normed, own);
            }
#pragma omp for schedule(static)
            for (int64_t k = 0; k < w.shards; k++) {
                float *own = w.own + k * w.own_floats + 2 * ((size + 15) & ~(int64_t)15);
                const int64_t from = k * w.each, to = from + w.each < wide ? from + w.each : wide;
                second_half(m, l, states + i, &w, k, from, to, own);
            }
        }
        restore_denormals(mode);
    }
    memcpy(m->y, w.own, sizeof(float) * size); /* the first shard's x, before the last layer */
    receive(m, layers + m->layers - 1, &w, m->y);
    return 0;
}
