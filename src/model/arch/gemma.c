/* gemma.c - gemma, gemma2, gemma3: GeGLU, embeddings times sqrt(n_embd); from the second on norms before and after each half, and windows in
 * most layers. 1 is added to the norms' weights by the converter. */
#include "src/model/arch/arch.h"

#include <math.h>

/* 0: no such layer count. The largest of each family scales by the width of a head as n_embd / n_head would have it; there is no key for it. */
static void common_keys(struct prism_builder *b, uint32_t layers_of_27b)
{
    struct prism_model *m = b->m;

    m->embd_scale = sqrtf((float)m->n_embd);
    b->common.ffn.dense.act = PRISM_GATE_GEGLU;
    if (m->n_layer == layers_of_27b)
        b->common.attn.scale = 1 / sqrtf((float)m->n_embd / (float)b->common.attn.n_head);
}

static void layer(struct prism_builder *b, struct prism_layer *l, unsigned flags)
{
    prism_part_llama(b, l, flags);
    prism_part_norm(b, &l->attn_post_norm, "post_attention_norm");
    prism_part_norm(b, &l->ffn_post_norm, "post_ffw_norm");
}

/* ---- gemma ---- */

static void gemma_keys(struct prism_builder *b) { common_keys(b, 0); }

const struct prism_arch prism_arch_gemma = { .name = "gemma", .keys = gemma_keys };

/* ---- gemma2: caps of the logits, those of attention too ---- */

static void gemma2_keys(struct prism_builder *b)
{
    double cap = 50, last = 30;

    common_keys(b, 46);
    prism_window_keys(b, OPTIONAL, 4096, 2);
    prism_key_between(b, "attn_logit_softcapping", OPTIONAL, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &cap);
    prism_key_between(b, "final_logit_softcapping", OPTIONAL, PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, &last);
    b->common.attn.softcap = (float)cap;
    b->m->logit_softcap = (float)last;
}

static void gemma2_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    (void)index;
    layer(b, l, 0);
}

const struct prism_arch prism_arch_gemma2 = { .name = "gemma2", .keys = gemma2_keys, .layer = gemma2_layer };

/* ---- gemma3: norms of queries and keys, and a second, unscaled rotation in the layers with a window ---- */

static void gemma3_keys(struct prism_builder *b)
{
    double cap = 0;

    common_keys(b, 62);
    prism_window_keys(b, OPTIONAL, 0, 6);
    if (b->window) {
        prism_window_rope(b, 10000);
        prism_key_between(b, "rope.freq_base_swa", OPTIONAL, 1, 1e15, &b->ropes[1].base);
    } else {
        prism_key_ignore(b, "rope.freq_base_swa");
    }
    prism_key_unless_zero(b, "final_logit_softcapping", PRISM_MIN_MULTIPLIER, PRISM_MAX_MULTIPLIER, 0, &cap);
    b->m->logit_softcap = (float)cap;
}

static void gemma3_layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    l->attn.rope = b->in_window[index] ? 1 : 0;
    layer(b, l, PRISM_QK_NORM);
}

const struct prism_arch prism_arch_gemma3 = { .name = "gemma3", .keys = gemma3_keys, .layer = gemma3_layer };
