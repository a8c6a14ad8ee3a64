/* Passes over memory that quantisers take, each once: cpt.model.functional has the same in torch, to the bit.

   Sums and products round to float32 one by one (no contraction); GOLDEN, FIRST, SECOND and the SHIFTs come
   from cpt.model.noise by the command line. */
#include <math.h>
#include <stdint.h>

static inline uint32_t mix(uint32_t v)
{
    v ^= v >> SHIFT_0;
    v *= FIRST;
    v ^= v >> SHIFT_1;
    v *= SECOND;
    return v ^ v >> SHIFT_2;
}

/* Step between neighbouring codes, at least floor; NaN stays NaN. */
static inline float step(float lo, float hi, float top, float floor)
{
    float scale = (hi - lo) / top;
    return scale < floor ? floor : scale;
}

/* y = code*scale + lo with code = round((x - lo)/scale), half to even, cut to 0..top; scale is step(). */
void cpt_nearest(const float *restrict x, float *restrict y, int64_t count, float lo, float hi, float top,
                 float floor, int threads)
{
    float scale = step(lo, hi, top, floor);
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        float q = (x[i] - lo) / scale;
        q = q < 0 ? 0 : q;
        q = q > top ? top : q;
        y[i] = rintf(q) * scale + lo;
    }
}

/* The same, with the codes, of a byte each, beside it. */
void cpt_coded(const float *restrict x, float *restrict y, uint8_t *restrict codes, int64_t count, float lo, float hi,
               float top, float floor, int threads)
{
    float scale = step(lo, hi, top, floor);
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        float q = (x[i] - lo) / scale;
        q = q < 0 ? 0 : q;
        q = q > top ? top : q;
        q = rintf(q);
        codes[i] = (uint8_t)(int32_t)q;
        y[i] = q * scale + lo;
    }
}

/* y = codes*scale + lo. */
void cpt_values(const uint8_t *restrict codes, float *restrict y, int64_t count, float lo, float scale, int threads)
{
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++)
        y[i] = (float)codes[i] * scale + lo;
}

/* As cpt_nearest, with noise of element first + i added to each code before it is cut and rounded. */
void cpt_stochastic(const float *restrict x, float *restrict y, int64_t count, float lo, float hi, float top,
                    float floor, uint32_t key, uint32_t first, int threads)
{
    float scale = step(lo, hi, top, floor);
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = mix((first + (uint32_t)i) * GOLDEN + key) >> (32 - FRACTION_BITS);
        float noise = (float)(int32_t)word * (1.0f / (1 << FRACTION_BITS)) - 0.5f;
        float q = (x[i] - lo) / scale + noise;
        q = q < 0 ? 0 : q;
        q = q > top ? top : q;
        y[i] = rintf(q) * scale + lo;
    }
}

/* ReLU of x in place; pass[i] is 1 where the gradient passes: above 0, or no number. */
void cpt_relu(float *restrict x, uint8_t *restrict pass, int64_t count, int threads)
{
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        float y = x[i] < 0 ? 0 : x[i];
        x[i] = y;
        pass[i] = !(y <= 0);
    }
}

/* out = gradient where it passes, else 0. */
void cpt_relu_backward(const float *restrict gradient, const uint8_t *restrict pass, float *restrict out, int64_t count,
                       int threads)
{
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = pass[i] ? gradient[i] : 0;
}
