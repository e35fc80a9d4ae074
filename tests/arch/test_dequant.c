/* test_dequant.c - stored weights to floats, bit for bit at every level: golden blocks, raw bits of every kind, every length. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/books.h"
#include "arch/generic/generic.h"
#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/kernel_test.h"

/* Blocks of random bits under sane scales, and what the dequantisation of ggml's gguf package (Python) makes of them: the FNV-1a
 * hash of the floats' bytes, and three of the floats for a reader to recompute by hand. */
static const struct golden {
    enum prism_type type;
    size_t n;
    const char *hex;
    uint32_t hash;
    float first, middle, last; /* y[0], y[n/2 - 1], y[n - 1] */
} golden[] = {
    { PRISM_F32, 8,
      "0000803f000000c000000000000000800100000000007f7f0000c03edb0f4940",
      0x50a1ea4a, 0x1p+0f, -0x0p+0f, 0x1.921fb6p+1f },
    { PRISM_F16, 8,
      "1d3823a9904041b8f4392231f838b5bc",
      0x9afb21b7, 0x1.074p-1f, -0x1.104p-1f, -0x1.2d4p+0f },
    { PRISM_BF16, 8,
      "a0bd4b3e9dbe3b3d323f9d3f0e3e2d3f",
      0xb5799aa3, -0x1.4p-4f, 0x1.76p-5f, 0x1.5ap-1f },
    { PRISM_Q4_0, 32,
      "3f1d6fc96b4eef16c5a25945fd1518dea508",
      0x0e7e29fa, 0x1.25c8p-5f, 0x0p+0f, -0x1.4fcp-5f },
    { PRISM_Q4_1, 32,
      "fb1a2421ea35740bd4fe861f9e26f153152f3f26",
      0x53a640fd, 0x1.6978p-5f, 0x1.f39p-6f, 0x1.143p-6f },
    { PRISM_Q5_0, 32,
      "a51cb85dc3f8f5b856997c4cce3f4cbe3bc1308e3d10",
      0x9ffac64b, -0x1.98b8p-5f, -0x1.294p-4f, 0x1.294p-8f },
    { PRISM_Q5_1, 32,
      "4524cd206ef951b28b478eb27a027d33229c837dbac1c4e3",
      0x31c56304, 0x1.8aecp-3f, 0x1.4e16p-2f, 0x1.04f9p-1f },
    { PRISM_Q8_0, 32,
      "13a36d027f4c6d076675e966940c5d420be664433fbcc795dfacffb73f9709c1704e",
      0xc394f612, -0x1.818b8p+0f, 0x1.6fdcp-2f, -0x1.13e5p+0f },
    { PRISM_Q2_K, 256,
      "3562ddcd2f533f40c4cd6265417a99a40889a1ce560c3a225c320ab7f060fceacbf5f426ba527db849caf18163429a6fe95bce282f9f"
      "701ca2b8de7d602ef1fe46c6ef7ed559427a92831f64d7c6c2eb93a452a5",
      0x90cd7dd2, 0x1.fecp-5f, 0x1.548p-4f, -0x1.bp-8f },
    { PRISM_Q3_K, 256,
      "a853b6c7b16a124754fac2217349463a132f6d0ecbd36fbbe7fa506e8f78e3090f7ba6f5fb71ba2e73e017a82791e6c0c43c3e0d95c3"
      "580897c7729c5cbae01a5625b297968932b5cd15d1183d7e5e624e77c78028fbdc0942a27a268b0ed6244185c44b2a9622ba90c9b7d7"
      "db20",
      0x4ed9aad3, 0x1.2d0ap-2f, -0x0p+0f, -0x1.0632p+0f },
    { PRISM_Q4_K, 256,
      "1ea087a6c560a768f3ee80fc7d8c334012af42840ac6243551236150a62c16b881267c94b75ec51259d61d7b77a86096629f5dbe7c6e"
      "23ab7493b7f3750e4ac43d61314b8ab591468c6af9664998940da712293633f3b099954d6ac4d810b80c27baf1a61c6bd2ea9363f23d"
      "468c80002fc6a4cca22678d29f961a2846f74a7abf4fa15e0b9fe86dda614b9c857e8c5c",
      0xc64d0a3d, 0x1.384fp+0f, 0x1.87a4p+0f, 0x1.5d78p-1f },
    { PRISM_Q5_K, 256,
      "7f1ee422f7e14b5fd937d339ff1d97a1aba6aeb165f2ce7272156007d15fbf7e31721dbd4de5bad31f269447fd26bc14c8ee115f909d"
      "723c2f9cb1d671438f20d7221e51157e8f2cf737533e540fc68169b39a749f6eadb8a88796d3ba997f4f707be5ead7a9ea6f76be96af"
      "e775e5702f29ec4e0da504ba46402d20835518012e5ea4b9ac09219ede1e8cfbb0e0c6f0a5bcc049b36ca8b0a5360bfe92ff86ba7ce9"
      "6d9956d814983379b287914abc2f",
      0x3efb6d90, 0x1.01328p+3f, 0x1.380f8p-1f, 0x1.4c38p-4f },
    { PRISM_Q6_K, 256,
      "596cd3cda56fed6623941420a025b8114027f4d0137466858c053549f48992df5f654657a4b023061767788490562df277212dc6efa1"
      "8b8455014a5e9a404f6d8e5da2c9696de497a7ff6ccc8350e1fd1faec100502076d6b378576e1fe8adeb7c90721e82e51dc6153589a0"
      "3511df05d282fd216fe309fb5b48486e9d1881ae6d031bf9c63d54412dac49b2f29965197dd12b08c4ac0aa34472bbf15405d2510e0a"
      "3a72984623cb7758b40e76cc24eacc472bab60470ca03547cabacae73df09c16a8dcb7cd34086d6c5a68766e0078c79d",
      0x4c11d2df, -0x1.f9848p+1f, 0x1.ce3p-2f, -0x1.19a54p+4f },
    { PRISM_IQ4_NL, 32,
      "4f188e6f0cc584c1e1dbad0f7084020b761f",
      0x9ceb51ed, 0x1.7f77p-3f, 0x1.e6dfp-3f, -0x1.c018p-3f },
    { PRISM_IQ4_XS, 256,
      "e6a438a3f86f108585d3f8d97395c84d34b76b1694873315cdbdf4b7d34501c73e3d3029e48e876f758a274d9c429ec1f1e4710759ad"
      "a35e416834d04b69b1ff101265493e15c54121b41e08c54d5336bd521cbe7c0a41c9c6721554ac0c0793dbc85c1c1ce13a337f0d045a"
      "09db6973f1365bae4ea0a0995b47c427bd55559475969f62312b6202",
      0x72fecb47, -0x1.012bp+4f, -0x1.8609cp+4f, 0x1.370dp+4f },
    { PRISM_MXFP4, 32,
      "6c1d65ca09887b993d1ebbe14478f92b99",
      0x5897876c, -0x1.8p-18f, -0x1p-20f, -0x1p-20f },
    { PRISM_IQ2_XXS, 256,
      "6a21f9bd0ccc21397c1ec795ca7748dc03d17a88934d85527357a2e64647f03e2fb81f223f4192c58efd5185f0711ef7677a1f132a81"
      "8d882195a100b28d6b236b82",
      0x6a555278, -0x1.03ep-5f, 0x1.f218p-3f, -0x1.1f9f4p-1f },
    { PRISM_IQ2_XS, 256,
      "172e44b0382e93438e60788d51e279a131f8130b3ea4bd2f5d95e57bd791436d840f4e6654608135bbfb885d346959a49b36402a4f3d"
      "cc489fb6511fbe09e5d72bf834e04fe028ca4991",
      0xab48f1e2, 0x1.2698ap+2f, -0x1.13f23p+3f, -0x1.ced4p+0f },
    { PRISM_IQ2_S, 256,
      "0d2e86443d981aafc374303fc6a86bd92e60843c814ee9b10320c6161bf6355049c1e34a41772dc9023cb637cba025aa8269e52e9ea2"
      "89eb1d172060132f2a6828bc7b69d60faba177ada22a5969596dd200",
      0xa9a9bd9f, -0x1.e41p-2f, 0x1.3aa4p+0f, -0x1.2e8ap-2f },
    { PRISM_IQ3_XXS, 256,
      "5f2eabeb3c94de2354e0d6bcb84ca8b8192a9817da137a3c1433abd35fc332dc6be77f648e211f6178809cd4192222da3cd8d1857421"
      "5480fba3589bcd14d1c0f9bc7e5409e86c7e4cbbc531ed44da9985d778ec704e1bd4f6c0050232d5169b407c",
      0x05e1aac6, 0x1.43554p+4f, 0x1.17882p+5f, -0x1.ae0c8p+3f },
    { PRISM_IQ3_S, 256,
      "69280903b0fe8e4f4665811ee8f1eac572cab152b02ebf9899df66d20e626f46eb2d0f5cbe40eb20e522ad6be6569b20fa1c07e4468b"
      "f0d9c6faffb7d5f6ab200cf19375633e24010d3b448c9aaddcdc4bf83c0077d3e3893335f6f383bc8569a8819eaf3c7152a0547f4941"
      "a48b",
      0x6fb19e91, 0x1.3a394p+3f, 0x1.3d88p-2f, 0x1.76ddp+1f },
    { PRISM_IQ1_S, 256,
      "1a2c58e37bad0cea0c40eab16695d2b71161cc5cae6b81d19b1c78c9f82e99f4ea57a296ea4ad101eda2a2f2fc4a30626e3f",
      0x0dbd4e22, -0x1.89cp-6f, -0x1.7124p-2f, 0x1.0266p-1f },
    { PRISM_IQ1_M, 256,
      "3dde80ce490911323fa1e3281bf80d2306229e0bfc194952563138cba65eacc41e8fc1604fb0f27ce41f6ac46fcc55ec2d41115838d4"
      "0828",
      0x664317d7, 0x1.9a44p-1f, 0x1.af94p-1f, 0x1.4facp-1f },
    { PRISM_TQ1_0, 256,
      "a4b148545799f101ca6b0808beb92caafad9e6e29bf380286ac1719a69173bf6305655a934872de8d6133073106b3f5ed921816a0a29",
      0x3a3e2083, 0x0p+0f, 0x1.428p-5f, -0x1.428p-5f },
    { PRISM_TQ2_0, 256,
      "612f2ab4472ca617dab41d1325104bd7e7cb65f53d77027c407433aae2361b97685b701020bda256fee38ac72aec6e0e079f4553e245"
      "8911be132edd7e9265ca3f2d",
      0xf862a8b0, 0x0p+0f, 0x1.4fcp-4f, 0x1.4fcp-3f },
    { PRISM_NVFP4, 64,
      "1a010f71607d3bf1a1dff611273360c9acf2d82b1391282874f3ad7ca241c1f943232786",
      0x2992f92e, 0x0p+0f, 0x1p-9f, 0x0p+0f },
    { PRISM_Q1_0, 128,
      "b62ad05f4f2c22f26e83d7581ae85dbe9b3e",
      0x3e3f0a45, -0x1.ad8p-5f, 0x1.ad8p-5f, -0x1.ad8p-5f },
    { PRISM_Q2_0, 64,
      "ff2d657d2e66f52438f1734da27686444cb3",
      0xf2b7be60, 0x0p+0f, 0x1.7fcp-3f, 0x1.7fcp-4f },
};

static uint32_t fnv1a(const void *data, size_t n)
{
    uint32_t h = 0x811c9dc5;
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x01000193;
    return h;
}

static void check_golden(const struct prism_kernels *k)
{
    assert_int_equal(sizeof golden / sizeof *golden, PRISM_N_TYPES);
    for (size_t g = 0; g < sizeof golden / sizeof *golden; g++) {
        size_t bytes = strlen(golden[g].hex) / 2, n = golden[g].n;
        uint8_t *x = kt_alloc(bytes, 1);
        float *y = kt_floats(n);

        assert_int_equal(bytes, prism_row_bytes(golden[g].type, n));
        for (size_t i = 0; i < bytes; i++) {
            unsigned byte = 0;
            assert_int_equal(sscanf(golden[g].hex + 2 * i, "%2x", &byte), 1);
            x[i] = (uint8_t)byte;
        }
        kt_freeze(x);
        k->to_f32[golden[g].type](y, x, n);
        kt_context("%s to_f32 %s golden block", k->name, prism_types[golden[g].type].name);
        kt_same_floats(y, &golden[g].first, 1);
        kt_same_floats(y + n / 2 - 1, &golden[g].middle, 1);
        kt_same_floats(y + n - 1, &golden[g].last, 1);
        kt_true(fnv1a(y, n * sizeof *y) == golden[g].hash, "the hash of the floats differs");
        kt_release();
    }
}

/* Any bits at all in blocks of every count up to a few vectors: infinite and NaN scales, subnormal ones, unaligned blocks. */
static void check_raw_bits(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++)
        for (size_t blocks = 1; blocks < 40; blocks++) {
            size_t n = blocks * prism_types[t].block, bytes = prism_row_bytes((enum prism_type)t, n);
            uint8_t *x = kt_alloc(bytes, t == PRISM_F32 ? 4 : t == PRISM_F16 || t == PRISM_BF16 ? 2 : 1);
            float *y = kt_floats(n), *want = kt_floats(n);
            for (size_t i = 0; i < bytes; i++)
                x[i] = (uint8_t)(kt_random() >> 8);
            kt_freeze(x);
            prism_kernels_generic.to_f32[t](want, x, n);
            k->to_f32[t](y, x, n);
            kt_context("%s to_f32 %s raw bits, %zu blocks", k->name, prism_types[t].name, blocks);
            kt_same_floats(y, want, n);
            kt_release();
        }
}

/* Every scale of MXFP4, the subnormal and the largest too: 2^(e - 128). */
static void check_mxfp4_scales(const struct prism_kernels *k)
{
    for (int e = 0; e < 256; e++) {
        uint8_t block[17] = { (uint8_t)e, 0x91 }; /* the first byte holds 1 for value 0, -1 for value 16 */
        float y[32];
        k->to_f32[PRISM_MXFP4](y, block, 32);
        kt_context("%s to_f32 MXFP4, scale %d", k->name, e);
        kt_near((double)y[0], ldexp(1, e - 128), 0, 0, 0);
        kt_near((double)y[16], -ldexp(1, e - 128), 0, 16, 0);
    }
}

/* The oracle's files: a thousand or two values per type; NULL: absent. */
static struct prism_gguf *oracle[2];

static void check_oracle(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++)
        for (int f = 0; f < 2; f++) {
            char name[PRISM_GGUF_NAME];
            snprintf(name, sizeof name, "%s.blocks", prism_types[t].name);
            const struct prism_gguf_tensor *blocks = oracle[f] ? prism_gguf_tensor_find(oracle[f], name) : NULL;
            snprintf(name, sizeof name, "%s.f32", prism_types[t].name);
            const struct prism_gguf_tensor *floats = oracle[f] ? prism_gguf_tensor_find(oracle[f], name) : NULL;
            assert_true(!oracle[f] || t == PRISM_F32 || (blocks != NULL) == (f == (t > PRISM_MXFP4))); /* each type in one of them */
            if (!blocks)
                continue;
            assert_non_null(floats);
            assert_int_equal(blocks->type, t);
            float *y = kt_floats(blocks->ne[0]), *want = kt_floats(blocks->ne[0]);
            memcpy(want, floats->data, floats->n_bytes);
            k->to_f32[t](y, blocks->data, blocks->ne[0]);
            kt_context("%s to_f32 %s oracle", k->name, prism_types[t].name);
            kt_same_floats(y, want, blocks->ne[0]);
            kt_release();
        }
}

/* Of the bytes of the tables in ggml-common.h (iq1s_grid: as IQ1 stores them here, eight times). */
static void test_books(void **state)
{
    (void)state;
    assert_int_equal(fnv1a(prism_iq2_xxs_book, sizeof prism_iq2_xxs_book), 0x3db4a16e);
    assert_int_equal(fnv1a(prism_iq2_xs_book, sizeof prism_iq2_xs_book), 0xebeb17dd);
    assert_int_equal(fnv1a(prism_iq2_s_book, sizeof prism_iq2_s_book), 0x82981110);
    assert_int_equal(fnv1a(prism_iq3_xxs_book, sizeof prism_iq3_xxs_book), 0x49a45035);
    assert_int_equal(fnv1a(prism_iq3_s_book, sizeof prism_iq3_s_book), 0x71cc6c89);
    assert_int_equal(fnv1a(prism_iq1_book, sizeof prism_iq1_book), 0x31aea17d);
}

static void test_golden(void **state) { (void)state, kt_levels(check_golden); }
static void test_raw_bits(void **state) { (void)state, kt_levels(check_raw_bits); }

static void test_mxfp4_scales(void **state) { (void)state, kt_levels(check_mxfp4_scales); }

static void check_file(int i, const char *path)
{
    struct prism_error err = { 0 };

    assert_int_equal(prism_gguf_open(path, (struct prism_log){ 0 }, &oracle[i], &err), PRISM_OK);
    kt_levels(check_oracle);
    prism_gguf_close(oracle[i]);
    oracle[i] = NULL;
}

static void test_oracle(void **state) { (void)state, check_file(0, test_shared("golden/dequant.gguf")); }
static void test_oracle_more(void **state) { (void)state, check_file(1, "tests/golden/dequant-more.gguf"); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_raw_bits),
        cmocka_unit_test(test_mxfp4_scales),
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_oracle_more),
        cmocka_unit_test(test_books),
    };
    return cmocka_run_group_tests_name("arch/dequant", tests, NULL, NULL);
}
