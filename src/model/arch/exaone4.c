/* exaone4.c - EXAONE 4: norms after each half only, and of each head of queries and keys. */
#include "src/model/arch/arch.h"

/* Windows, and full layers without rotation, are those of the model with 64 layers; there is no key for it. */
static void keys(struct prism_builder *b)
{
    if (b->m->n_layer == 64)
        prism_window_keys(b, OPTIONAL, 4096, 4);
    else
        prism_key_ignore(b, "attention.sliding_window");
}

static void layer(struct prism_builder *b, struct prism_layer *l, uint32_t index)
{
    l->attn.rope = b->window && !b->in_window[index] ? -1 : 0;
    prism_part_attention(b, &l->attn, PRISM_QK_NORM);
    prism_part_norm(b, &l->attn_post_norm, "post_attention_norm");
    prism_part_ffn(b, &l->ffn.dense);
    prism_part_norm(b, &l->ffn_post_norm, "post_ffw_norm");
}

const struct prism_arch prism_arch_exaone4 = { .name = "exaone4", .keys = keys, .layer = layer };
