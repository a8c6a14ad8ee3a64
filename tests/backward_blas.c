/* A BLAS that sums backwards: what numpy calls, for LD_PRELOAD, in plain C without any processor's kernels.
   A result that depends on the order of a library's sums differs under it; BACKWARD_BLAS_LOG counts the calls. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, LOWER = 122 };
static uint64_t calls;

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("BACKWARD_BLAS_LOG");
  FILE *log = path ? fopen(path, "a") : NULL;
  if (!log) return;
  fprintf(log, "%llu\n", (unsigned long long)calls);
  fclose(log);
}

#define BLAS(T, P, N)                                                                                          \
  T N##cblas_##P##dot64_(int64_t n, const T *x, int64_t step_x, const T *y, int64_t step_y) {                  \
    calls++;                                                                                                   \
    T sum = 0;                                                                                                 \
    for (int64_t i = n - 1; i >= 0; i--) sum += x[i * step_x] * y[i * step_y];                                 \
    return sum;                                                                                                \
  }                                                                                                            \
  void N##cblas_##P##gemm64_(int order, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, T alpha,    \
                          const T *a, int64_t lda, const T *b, int64_t ldb, T beta, T *c, int64_t ldc) {       \
    if (order != ROW_MAJOR) {                                                                                  \
      N##cblas_##P##gemm64_(ROW_MAJOR, trans_b, trans_a, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc);        \
      return;                                                                                                  \
    }                                                                                                          \
    calls++;                                                                                                   \
    const int64_t a_m = trans_a == NO_TRANSPOSE ? lda : 1, a_k = trans_a == NO_TRANSPOSE ? 1 : lda;            \
    const int64_t b_k = trans_b == NO_TRANSPOSE ? ldb : 1, b_n = trans_b == NO_TRANSPOSE ? 1 : ldb;            \
    for (int64_t i = 0; i < m; i++) {                                                                          \
      T *row = c + i * ldc;                                                                                    \
      for (int64_t j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];                                  \
      for (int64_t l = k - 1; l >= 0; l--) {                                                                   \
        const T left = alpha * a[i * a_m + l * a_k];                                                           \
        for (int64_t j = 0; j < n; j++) row[j] += left * b[l * b_k + j * b_n];                                 \
      }                                                                                                        \
    }                                                                                                          \
  }                                                                                                            \
  void N##cblas_##P##gemv64_(int order, int trans, int64_t m, int64_t n, T alpha, const T *a, int64_t lda,     \
                          const T *x, int64_t step_x, T beta, T *y, int64_t step_y) {                          \
    const int rows_first = (order == ROW_MAJOR) == (trans == NO_TRANSPOSE);                                    \
    const int64_t outputs = trans == NO_TRANSPOSE ? m : n, terms = trans == NO_TRANSPOSE ? n : m;              \
    calls++;                                                                                                   \
    for (int64_t i = 0; i < outputs; i++) {                                                                    \
      T sum = 0;                                                                                               \
      for (int64_t j = terms - 1; j >= 0; j--)                                                                 \
        sum += (rows_first ? a[i * lda + j] : a[j * lda + i]) * x[j * step_x];                                 \
      y[i * step_y] = alpha * sum + (beta == 0 ? 0 : beta * y[i * step_y]);                                    \
    }                                                                                                          \
  }                                                                                                            \
  void N##cblas_##P##syrk64_(int order, int half, int trans, int64_t n, int64_t k, T alpha, const T *a,        \
                          int64_t lda, T beta, T *c, int64_t ldc) {                                            \
    const int rows_first = (order == ROW_MAJOR) == (trans == NO_TRANSPOSE);                                    \
    const int64_t down = rows_first ? lda : 1, along = rows_first ? 1 : lda;                                   \
    calls++;                                                                                                   \
    for (int64_t i = 0; i < n; i++)                                                                            \
      for (int64_t j = half == LOWER ? 0 : i; j < (half == LOWER ? i + 1 : n); j++) {                          \
        T *to = order == ROW_MAJOR ? c + i * ldc + j : c + j * ldc + i, sum = 0;                               \
        for (int64_t l = k - 1; l >= 0; l--) sum += a[i * down + l * along] * a[j * down + l * along];         \
        *to = alpha * sum + (beta == 0 ? 0 : beta * *to);                                                      \
      }                                                                                                        \
  }

/* numpy 1 and numpy 2 name the same functions differently. */
BLAS(float, s, )
BLAS(double, d, )
BLAS(float, s, scipy_)
BLAS(double, d, scipy_)
