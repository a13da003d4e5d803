/* exp2, sigmoid, SiLU and softplus on vectors. */
#pragma once

#include "vector.h"

#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f

/* A whole number, as a float and in the form that scales by its power of two. */
struct whole {
    vf n;
    vi shifted; /* not for AVX-512, which scales by floats */
};

INLINE struct whole nearest_integer(vf x) {
    struct whole w;
#if WIDTH == 16
    __asm__("vrndscaleps $8, %1, %0" : "=v"(w.n) : "v"(x));
#else
    const vf high = x + 12582912.0f; /* 1.5 * 2^23: the fraction is rounded away, the integer lands in the low bits */
    w.n = high - 12582912.0f;
    w.shifted = (vi)high << 23;
#endif
    return w;
}

/* 2^(n + r) for |r| <= 1/2. 2^r is a polynomial of degree 5 with the constant 1 (minimax, relative error 9.1e-8, and
   2.6e-7 relative to 2^r - 1, which is what a slowly fading state feels), so 2^0 is exactly 1. */
INLINE vf exp2_of_parts(struct whole w, vf r) {
    vf p = splat(1.326472731307149e-3f);
    p = p * r + 9.671512991189957e-3f;
    p = p * r + 5.550733581185341e-2f;
    p = p * r + 2.4022242426872253e-1f;
    p = p * r + 6.931470036506653e-1f;
    p = p * r + 1.0f;
#if WIDTH == 16
    vf scaled;
    __asm__("vscalefps %2, %1, %0" : "=v"(scaled) : "v"(p), "v"(w.n)); /* underflow and overflow included */
    return scaled;
#else
    return (vf)((vi)p + w.shifted); /* n >= -127: the exponent reaches 0, no further */
#endif
}

/* 2^x: 0 below -126, infinity above 128; a NaN stays one. */
INLINE vf exp2_of(vf x) {
#if WIDTH != 16
    x = at_most(at_least(x, -127.0f), 128.0f);
#endif
    const struct whole w = nearest_integer(x);
    return exp2_of_parts(w, x - w.n);
}

/* e^x for x up to 88.7, 0 below -88. x log2(e) is never rounded (fused, and the constant in two parts), so that the
   relative error stays 1e-7 for large |x| too. */
INLINE vf exp_of(vf x) {
    x = at_most(at_least(x, -88.0f), 88.7f);
    const struct whole w = nearest_integer(x * LOG2E);
    return exp2_of_parts(w, (x * LOG2E - w.n) + x * 1.925963033e-8f);
}

/* 1 / (1 + e^-x), right in its relative error on both sides */
INLINE vf sigmoid(vf x) {
    const vf e = exp_of(-absolute(x));
    return choose(x < 0.0f, e, splat(1.0f)) / (1.0f + e);
}

INLINE vf silu(vf x) { return x * sigmoid(x); }

/* log(1 + e^x) = max(x, 0) + log1p(e), e = e^-|x|; log1p(e) = 2 artanh(s), s = e / (2 + e) <= 1/3, as an odd
   polynomial in s: small steps keep their relative precision. */
INLINE vf softplus(vf x) {
    const vf e = exp_of(-absolute(x));
    const vf s = e / (2.0f + e);
    const vf t = s * s;
    vf p = splat(2.802446668984772e-1f);
    p = p * t + 2.7999139587926836e-1f;
    p = p * t + 4.002169914325251e-1f;
    p = p * t + 6.666641313137995e-1f;
    p = p * t + 2.0f;
    return at_least(x, 0.0f) + p * s;
}
