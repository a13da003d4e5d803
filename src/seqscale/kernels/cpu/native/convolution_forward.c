/* y_t = act(bias + sum_k weight[k] x_{t - width + 1 + k}) for every channel, a tile of steps and a block of channels at
   a time; the last width - 1 inputs are handed on. */
#include "convolution.h"

INLINE void convolve(const int width, float *y, const float *x, const float *weights, vf bias, int rows, int activate,
                     struct stream reads, struct stream writes) {
    for (int t = 0; t < rows; t++) {
        __builtin_prefetch(reads.p), reads.p += reads.step;
        __builtin_prefetch(writes.p, 1), writes.p += writes.step;
        const vf total = weighted(width, x + t * WIDTH, weights, bias);
        store(y + t * WIDTH, activate ? silu(total) : total);
    }
}

static void forward_piece(const struct convolution *c, int64_t r, int64_t from, int64_t to, float *memory) {
    const struct sequence s = sequence_of(c, r);
    const int width = (int)c->width;
    const int64_t blocks = (c->channels + WIDTH - 1) / WIDTH;
    float *x = take(&memory, (TILE + width - 1) * WIDTH), *y = take(&memory, TILE * WIDTH);
    float *weights = take(&memory, blocks * width * WIDTH);
    for (int64_t b = 0; b < blocks; b++)
        gather_weights(weights + b * width * WIDTH, c, b * WIDTH);
    for (int64_t t = from; t < to; t += TILE) {
        const int rows = to - t < TILE ? (int)(to - t) : TILE;
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t channel = b * WIDTH, next = b + 1 < blocks ? channel + WIDTH : 0;
            const int64_t later = b + 1 < blocks ? t : t + rows;
            const int lanes = lanes_at(c, channel);
            const struct plane in = plane_of(c->x, c->x_type, s.batch, c->x_batch, later, c->x_time, next);
            const struct plane ahead =
                plane_of(c->y, c->x_type, s.batch, c->length * c->channels, later, c->channels, next);
            load_inputs(x, c, r, s, t - (width - 1), rows + width - 1, channel);
            WITH_WIDTH(width, convolve, y, x, weights + b * width * WIDTH,
                       c->bias ? load_lanes(c->bias + channel, lanes) : splat(0), rows, (int)c->silu,
                       (struct stream){in.first, in.step}, (struct stream){ahead.first, ahead.step});
            const struct plane out =
                plane_of(c->y, c->x_type, s.batch, c->length * c->channels, t, c->channels, channel);
            for (int i = 0; i < rows; i++)
                store_row(out, i, load(y + i * WIDTH), lanes);
        }
    }
}

/* The last width - 1 inputs of a row, those of its initial state included; bytes are copied, not numbers. */
static void hand_on(const struct convolution *c, int64_t r) {
    const struct sequence s = sequence_of(c, r);
    const int64_t past = c->width - 1, size = c->channels * bytes_of(c->x_type);
    for (int64_t i = 0; i < past; i++) {
        const int64_t t = s.end - past + i, index = r * past + i;
        char *target = (char *)c->final + index * size;
        if (t >= s.begin)
            memcpy(target, (const char *)c->x + (s.batch * c->x_batch + t * c->x_time) * bytes_of(c->x_type), size);
        else if (c->start)
            memcpy(target, (const char *)c->start + (r * past + past - (s.begin - t)) * size, size);
        else
            memset(target, 0, size);
    }
}

/* 0, or 1 where there is no memory. */
int seqscale_convolution_forward(const struct convolution *c) {
    int64_t *jobs = jobs_of_rows(c);
    if (!jobs)
        return 1;
    const int64_t many = jobs[c->rows], some = 1 + many / (8 * c->threads);
    const int64_t blocks = (c->channels + WIDTH - 1) / WIDTH;
    int failed = 0;
#pragma omp parallel num_threads((int)c->threads) if (c->threads > 1 && many > 1)
    {
        float *memory = scratch(sizeof(float) * WIDTH * (2 * TILE + c->width + 2 + blocks * c->width));
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
                forward_piece(c, r, from, to, memory);
            if (i == jobs[r])
                hand_on(c, r);
        }
        restore_denormals(mode);
    }
    free(jobs);
    return failed;
}
