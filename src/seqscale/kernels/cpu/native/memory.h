/* Working memory that a thread keeps from call to call: fresh pages cost more than the arithmetic of a small call. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define LINE 64
#define ALIGNED __attribute__((aligned(LINE)))

/* At least `bytes`, aligned to a cache line, contents undefined; NULL when there is none. Good until the thread's next
   call. */
void *scratch(size_t bytes);

/* Zero-cost carving of one block of memory into arrays of floats. */
static inline float *take(float **next, int64_t floats) {
    float *here = *next;
    *next += (floats + 15) & ~(int64_t)15;
    return here;
}
