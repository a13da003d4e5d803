/* One token of every row: the state changed in place, y written. All tensors float32 and contiguous but for their row
   strides. */
#include "step.h"
#include "memory.h"

/* All members are 64 bits wide, in the order of step.py. */
struct step {
    int64_t threads, rows, channels, states, groups, softplus;
    float *state;                                /* (rows, channels, states) */
    const float *u, *delta, *z;                  /* (rows, channels) */
    const float *A, *B, *C, *D, *bias;           /* (channels, states); (rows, groups, states); (channels,) */
    float *y;                                    /* (rows, channels) */
};

static void step_row(const struct step *s, int64_t r) {
    const int64_t wide = s->channels / s->groups;
    for (int64_t g = 0; g < s->groups; g++) {
        const float *B = s->B + (r * s->groups + g) * s->states, *C = s->C + (r * s->groups + g) * s->states;
        for (int64_t from = g * wide; from < (g + 1) * wide; from += WIDTH) {
            const int lanes = (g + 1) * wide - from < WIDTH ? (int)((g + 1) * wide - from) : WIDTH;
            const int64_t at = r * s->channels + from;
            vf delta = load_lanes(s->delta + at, lanes);
            const vf u = load_lanes(s->u + at, lanes);
            if (s->bias)
                delta += load_lanes(s->bias + from, lanes);
            if (s->softplus)
                delta = softplus(delta);
            float *state = s->state + at * s->states;
            vf y = step_block(delta, u, s->A + from * s->states, 0, B, C, state, state, (int)s->states, lanes);
            if (s->D)
                y += load_lanes(s->D + from, lanes) * u;
            if (s->z)
                y *= silu(load_lanes(s->z + at, lanes));
            store_lanes(s->y + at, y, lanes);
        }
    }
}

int seqscale_step(const struct step *s) {
    /* below some ten thousand states a second thread costs more than it brings */
    const int64_t useful = s->rows * s->channels * s->states / 16384;
    const int64_t threads = useful < s->threads ? (useful < 1 ? 1 : useful) : s->threads;
#pragma omp parallel num_threads((int)threads) if (threads > 1 && s->rows > 1)
    {
        const float_mode mode = flush_denormals();
#pragma omp for schedule(static)
        for (int64_t r = 0; r < s->rows; r++)
            step_row(s, r);
        restore_denormals(mode);
    }
    return 0;
}
