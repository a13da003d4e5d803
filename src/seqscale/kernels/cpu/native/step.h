/* One token through the selective state space, for a block of WIDTH channels. */
#pragma once

#include "elementary.h"

/* h = exp(delta A) h + delta u B; y = <C, h>. Lanes are states while a channel is worked on; the channels' sums come out
   as the lanes of y. `A`, `before` and `after` are (lanes, states) of these channels; with A_is_log, A holds log(-A).
   Those exponentials have a loop of their own: behind each other, two would be a chain too long for a processor to have
   enough of in flight. */
INLINE vf step_block(vf delta, vf u, const float *A, const int A_is_log, const float *B, const float *C,
                     const float *before, float *after, int states, int lanes) {
    float deltas[WIDTH] __attribute__((aligned(64))), drives[WIDTH] __attribute__((aligned(64)));
    vf rates[WIDTH], y[WIDTH];
    store(deltas, delta * (A_is_log ? -LOG2E : LOG2E));
    store(drives, delta * u);
    for (int i = 0; i < WIDTH; i++)
        y[i] = (vf){0};
    int n = 0;
    for (; n + WIDTH <= states; n += WIDTH) {
        const vf b = load(B + n), c = load(C + n);
        if (A_is_log)
            for (int i = 0; i < lanes; i++)
                rates[i] = exp_of(load(A + i * states + n));
        for (int i = 0; i < lanes; i++) {
            const vf rate = A_is_log ? rates[i] : load(A + i * states + n);
            const vf h = exp2_of(deltas[i] * rate) * load(before + i * states + n) + drives[i] * b;
            store(after + i * states + n, h);
            y[i] += h * c;
        }
    }
    if (n < states) {
        const int left = states - n;
        const vf b = load_first(B + n, left), c = load_first(C + n, left);
        for (int i = 0; i < lanes; i++) {
            const vf known = load_first(A + i * states + n, left), rate = A_is_log ? exp_of(known) : known;
            const vf h = exp2_of(deltas[i] * rate) * load_first(before + i * states + n, left) + drives[i] * b;
            store_first(after + i * states + n, h, left);
            y[i] += h * c;
        }
    }
    return sums_of_lanes(y);
}
