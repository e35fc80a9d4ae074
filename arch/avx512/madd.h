/* madd.h - the two shapes of a multiply-add of words, over the dot_words of a level's words.h, which includes this file in its end. */
#ifndef PRISM_AVX512_MADD_H
#define PRISM_AVX512_MADD_H

/* c += a * b */
PRISM_INLINE void madd(struct pair *c, __m512 a, struct pair b)
{
    c->x = dot_words(c->x, a, b.x);
    c->y = dot_words(c->y, a, b.y);
}

/* c.x += p[0] * v, c.y += p[1] * v */
PRISM_INLINE void madd_rows(struct pair *c, const float *p, __m512 v)
{
    c->x = dot_words(c->x, _mm512_set1_ps(p[0]), v);
    c->y = dot_words(c->y, _mm512_set1_ps(p[1]), v);
}

#endif
