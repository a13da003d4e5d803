/* The convolution's gradients. With s_t the sum before the activation and ds_t = dy_t act'(s_t):

       dx_t = sum_k weight[k] ds_{t + width - 1 - k},  dweight[k] = sum_t ds_t x_{t - width + 1 + k},  dbias = sum_t ds_t

   s is computed again, also for the width - 1 steps beyond a tile that dx needs. Sums over time are kept for pieces of
   PIECE steps and added up in their order. */
#include "convolution.h"

struct tile {
    float *x, *ds, *dx;          /* rows + 2 (width - 1), rows + width - 1 and rows, times WIDTH */
    const float *weights;        /* [width][WIDTH] */
    float *sums;                 /* [width + 1][WIDTH]: dweight, dbias */
};

INLINE void differentiate(const int width, struct tile x, vf bias, int rows, int beyond, int activate,
                          struct stream reads, struct stream more, struct stream writes) {
    if (activate)
        for (int t = 0; t < beyond; t++) {
            __builtin_prefetch(reads.p), reads.p += reads.step;
            __builtin_prefetch(more.p), more.p += more.step;
            const vf total = weighted(width, x.x + t * WIDTH, x.weights, bias), open = sigmoid(total);
            store(x.ds + t * WIDTH, load(x.ds + t * WIDTH) * (open * (1.0f + total * (1.0f - open))));
        }
    for (int t = 0; t < rows; t++) {
        __builtin_prefetch(writes.p, 1), writes.p += writes.step;
        vf dx = {0};
#pragma GCC unroll 4
        for (int k = 0; k < width; k++)
            dx += load(x.weights + k * WIDTH) * load(x.ds + (t + width - 1 - k) * WIDTH);
        store(x.dx + t * WIDTH, dx);
    }
    vf dbias = {0};
    for (int t = 0; t < rows; t++)
        dbias += load(x.ds + t * WIDTH);
    store(x.sums + width * WIDTH, load(x.sums + width * WIDTH) + dbias);
#pragma GCC unroll 4
    for (int k = 0; k < width; k++) {
        vf dweight = {0};
        for (int t = 0; t < rows; t++)
            dweight += load(x.ds + t * WIDTH) * load(x.x + (t + k) * WIDTH);
        store(x.sums + k * WIDTH, load(x.sums + k * WIDTH) + dweight);
    }
}

/* What came in over the final state: input t of the row is its row t - (end - width + 1). */
static vf from_final(const struct convolution *c, int64_t r, struct sequence s, int64_t t, int64_t channel) {
    float row[WIDTH] ALIGNED;
    const int64_t index = t - (s.end - (c->width - 1));
    if (!c->dfinal || index < 0)
        return splat(0);
    load_tile(row, plane_of(c->dfinal, c->x_type, r, (c->width - 1) * c->channels, index, c->channels, channel), 1,
              lanes_at(c, channel));
    return load(row);
}

/* Gradient of the initial state: input `begin - past + i` met the outputs begin ... begin + i. */
static void start_gradient(const struct convolution *c, int64_t r, struct sequence s, int64_t channel, struct tile x) {
    const int64_t past = c->width - 1;
    for (int64_t i = 0; i < past; i++) {
        vf total = from_final(c, r, s, s.begin - past + i, channel);
        for (int64_t k = 0; k <= i; k++) /* ds is zero beyond the end */
            total += load(x.weights + k * WIDTH) * load(x.ds + (i - k) * WIDTH);
        store_lanes(c->dstart + (r * past + i) * c->channels + channel, total, lanes_at(c, channel));
    }
}

static void backward_piece(const struct convolution *c, int64_t r, int64_t from, int64_t to, float *share,
                           float *memory) {
    const struct sequence s = sequence_of(c, r);
    const int width = (int)c->width, past = width - 1;
    const int64_t blocks = (c->channels + WIDTH - 1) / WIDTH;
    struct tile x;
    x.x = take(&memory, (TILE + 2 * past) * WIDTH);
    x.ds = take(&memory, (TILE + past) * WIDTH);
    x.dx = take(&memory, TILE * WIDTH);
    float *weights = take(&memory, blocks * width * WIDTH), *sums = take(&memory, blocks * (width + 1) * WIDTH);
    memset(sums, 0, sizeof(float) * blocks * (width + 1) * WIDTH);
    for (int64_t b = 0; b < blocks; b++)
        gather_weights(weights + b * width * WIDTH, c, b * WIDTH);
    int64_t t = from;
    do { /* once for an empty row too: its initial state has a gradient */
        const int rows = to - t < TILE ? (int)(to - t) : TILE;
        const int beyond = s.end - t < rows + past ? (int)(s.end - t) : rows + past; /* steps that are there */
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t channel = b * WIDTH, next = b + 1 < blocks ? channel + WIDTH : 0;
            const int64_t later = b + 1 < blocks ? t : t + rows;
            const int lanes = lanes_at(c, channel);
            x.weights = weights + b * width * WIDTH;
            x.sums = sums + b * (width + 1) * WIDTH;
            load_inputs(x.x, c, r, s, t - past, rows + 2 * past, channel);
            load_tile(x.ds, plane_of(c->dy, c->dy_type, s.batch, c->dy_batch, t, c->dy_time, channel), beyond, lanes);
            memset(x.ds + beyond * WIDTH, 0, sizeof(float) * (rows + past - beyond) * WIDTH);
            const struct plane in = plane_of(c->x, c->x_type, s.batch, c->x_batch, later, c->x_time, next);
            const struct plane dy = plane_of(c->dy, c->dy_type, s.batch, c->dy_batch, later, c->dy_time, next);
            const struct plane ahead =
                plane_of(c->dx, c->x_type, s.batch, c->length * c->channels, later, c->channels, next);
            WITH_WIDTH(width, differentiate, x, c->bias ? load_lanes(c->bias + channel, lanes) : splat(0), rows, beyond,
                       (int)c->silu, (struct stream){in.first, in.step}, (struct stream){dy.first, dy.step},
                       (struct stream){ahead.first, ahead.step});
            const struct plane dx =
                plane_of(c->dx, c->x_type, s.batch, c->length * c->channels, t, c->channels, channel);
            for (int i = 0; i < rows; i++) {
                vf gradient = load(x.dx + i * WIDTH);
                if (t + i >= s.end - past)
                    gradient += from_final(c, r, s, t + i, channel);
                store_row(dx, i, gradient, lanes);
            }
            if (t == s.begin && past)
                start_gradient(c, r, s, channel, x);
        }
        t += TILE;
    } while (t < to);
    for (int64_t b = 0; b < blocks; b++)
        for (int k = 0; k <= width; k++)
            store_lanes(share + k * c->channels + b * WIDTH, load(sums + (b * (width + 1) + k) * WIDTH),
                        lanes_at(c, b * WIDTH));
}

/* 0, or 1 where there is no memory. */
int seqscale_convolution_backward(const struct convolution *c) {
    int64_t *jobs = jobs_of_rows(c);
    if (!jobs)
        return 1;
    const int64_t many = jobs[c->rows], some = 1 + many / (8 * c->threads), size = (c->width + 1) * c->channels;
    const int64_t blocks = (c->channels + WIDTH - 1) / WIDTH;
    float *shares = malloc(sizeof(float) * many * size + 1);
    double *totals = calloc(size, sizeof(double));
    int failed = !shares || !totals;
#pragma omp parallel num_threads((int)c->threads) if (c->threads > 1 && many > 1)
    {
        const int64_t floats = (3 * TILE + 3 * c->width + 6 + blocks * (2 * c->width + 1)) * WIDTH;
        float *memory = shares && totals ? scratch(sizeof(float) * floats) : NULL;
        const float_mode mode = flush_denormals();
        if (!memory) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, some)
        for (int64_t i = 0; i < many; i++) {
            const int64_t r = row_of_job(jobs, c->rows, i);
            const struct sequence s = sequence_of(c, r);
            const int64_t from = s.begin + (i - jobs[r]) * PIECE, to = from + PIECE < s.end ? from + PIECE : s.end;
            if (memory)
                backward_piece(c, r, from, to, shares + i * size, memory);
        }
        restore_denormals(mode);
    }
    for (int64_t i = 0; !failed && i < many; i++)
        for (int64_t e = 0; e < size; e++)
            totals[e] += shares[i * size + e];
    if (!failed)
        for (int64_t e = 0; e < size; e++) {
            const int64_t k = e / c->channels, d = e % c->channels;
            if (k < c->width)
                c->dweight[d * c->width + k] = (float)totals[e];
            else if (c->dbias)
                c->dbias[d] = (float)totals[e];
        }
    free(totals);
    free(shares);
    free(jobs);
    return failed;
}
