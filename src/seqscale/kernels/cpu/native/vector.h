/* One vector type for every machine: WIDTH float lanes, as wide as the target has them.

   GCC and Clang vector extensions, so that the same text serves AVX-512, AVX2, SSE2 and NEON. Where plain C has no word
   for an instruction (rounding, maximum, masks), a line of assembly: <immintrin.h> would take a third of a second to
   read for each file. */
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
/* Instructions of independent states between each other: a tenth faster than one state after another. */
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define WIDTH 16
#elif defined(__AVX2__) && defined(__FMA__)
#define WIDTH 8
#else
#define WIDTH 4
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t vh __attribute__((vector_size(2 * WIDTH)));
typedef float vf_memory __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef uint16_t vh_memory __attribute__((vector_size(2 * WIDTH), aligned(2), may_alias));

INLINE vf load(const float *p) { return *(const vf_memory *)p; }
INLINE void store(float *p, vf x) { *(vf_memory *)p = x; }
INLINE vf splat(float x) { return x - (vf){0}; } /* x - 0 is x for every x, -0 included, so this is one broadcast */

/* The first `many` of WIDTH floats, zeros for the rest; memory beyond them is not touched. */
INLINE vf load_first(const float *p, int many) {
    vf x = {0};
#if WIDTH == 16
    const unsigned short mask = (unsigned short)((1u << many) - 1);
    __asm__("vmovups %1, %0 %{%2%}%{z%}" : "=v"(x) : "m"(*(const vf_memory *)p), "Yk"(mask));
    return x;
#else
    memcpy(&x, p, sizeof(float) * (many < WIDTH ? many : WIDTH));
    return x;
#endif
}
INLINE void store_first(float *p, vf x, int many) {
#if WIDTH == 16
    const unsigned short mask = (unsigned short)((1u << many) - 1);
    __asm__("vmovups %1, %0 %{%2%}" : "+m"(*(vf_memory *)p) : "v"(x), "Yk"(mask));
#else
    memcpy(p, &x, sizeof(float) * (many < WIDTH ? many : WIDTH));
#endif
}

INLINE void store_lanes(float *target, vf x, int lanes) {
    if (lanes == WIDTH)
        store(target, x);
    else
        store_first(target, x, lanes);
}

INLINE vf load_lanes(const float *source, int lanes) {
    return lanes == WIDTH ? load(source) : load_first(source, lanes);
}

/* A NaN in x comes through both. */
INLINE vf at_least(vf x, float bound) {
#if WIDTH >= 8
    vf y;
    __asm__("vmaxps %1, %2, %0" : "=v"(y) : "v"(x), "v"(splat(bound)));
    return y;
#else
    const vi low = x < bound;
    return (vf)(((vi)splat(bound) & low) | ((vi)x & ~low));
#endif
}

INLINE vf at_most(vf x, float bound) {
#if WIDTH >= 8
    vf y;
    __asm__("vminps %1, %2, %0" : "=v"(y) : "v"(x), "v"(splat(bound)));
    return y;
#else
    const vi high = x > bound;
    return (vf)(((vi)splat(bound) & high) | ((vi)x & ~high));
#endif
}

INLINE vf choose(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
INLINE vf absolute(vf x) { return (vf)((vi)x & 0x7fffffff); }

/* bfloat16 <-> float32, to nearest even; a NaN stays one */
INLINE vf from_bfloat16(vh x) { return (vf)(__builtin_convertvector(x, vi) << 16); }

INLINE vh to_bfloat16(vf x) {
    const vi bits = (vi)x;
    const vi rounded = ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) & 0xffff;
    const vi nan = x != x;
    return __builtin_convertvector((rounded & ~nan) | (nan & 0x7fc0), vh);
}

/* shuffle(a, b, i): lanes of a (0 ... WIDTH-1) and b (WIDTH ...) by constant index */
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vi){__VA_ARGS__})
#endif

/* Sums over the lanes of WIDTH vectors: lane i of the result is the sum of x[i]. x is used up.
   A tree of WIDTH - 1 additions, each behind two shuffles: a third of what WIDTH separate sums would cost. */
INLINE vf sums_of_lanes(vf *x) {
#if WIDTH == 16
    for (int i = 0; i < 16; i += 2) /* x[i]: pairs from x[i] and x[i+1], alternating */
        x[i] = SHUFFLE(x[i], x[i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
               SHUFFLE(x[i], x[i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
    for (int i = 0; i < 16; i += 4)
        x[i] = SHUFFLE(x[i], x[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               SHUFFLE(x[i], x[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    for (int i = 0; i < 16; i += 8)
        x[i] = SHUFFLE(x[i], x[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               SHUFFLE(x[i], x[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    return SHUFFLE(x[0], x[8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           SHUFFLE(x[0], x[8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
#elif WIDTH == 8
    for (int i = 0; i < 8; i += 2)
        x[i] = SHUFFLE(x[i], x[i + 1], 0, 8, 2, 10, 4, 12, 6, 14) + SHUFFLE(x[i], x[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    for (int i = 0; i < 8; i += 4)
        x[i] = SHUFFLE(x[i], x[i + 2], 0, 1, 8, 9, 4, 5, 12, 13) + SHUFFLE(x[i], x[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    return SHUFFLE(x[0], x[4], 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(x[0], x[4], 4, 5, 6, 7, 12, 13, 14, 15);
#else
    for (int i = 0; i < 4; i += 2)
        x[i] = SHUFFLE(x[i], x[i + 1], 0, 4, 2, 6) + SHUFFLE(x[i], x[i + 1], 1, 5, 3, 7);
    return SHUFFLE(x[0], x[2], 0, 1, 4, 5) + SHUFFLE(x[0], x[2], 2, 3, 6, 7);
#endif
}

INLINE float sum_of_lanes(vf x) {
    float total = 0;
    for (int i = 0; i < WIDTH; i++)
        total += x[i];
    return total;
}

/* Numbers below 1.2e-38 become zero while a kernel runs: a state that fades away would otherwise be computed in
   microcode, a hundred times slower on some processors. The thread's own setting comes back at the end. */
#if defined(__x86_64__)
typedef unsigned int float_mode;
INLINE float_mode flush_denormals(void) {
    const float_mode before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);
    return before;
}
INLINE void restore_denormals(float_mode before) { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
typedef uint64_t float_mode;
INLINE float_mode flush_denormals(void) {
    float_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
}
INLINE void restore_denormals(float_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int float_mode;
INLINE float_mode flush_denormals(void) { return 0; }
INLINE void restore_denormals(float_mode before) { (void)before; }
#endif
