/* panel.h - the size of this level's panels: rows of activations, columns of weights. */
#ifndef PRISM_AVX512VNNI_PANEL_H
#define PRISM_AVX512VNNI_PANEL_H

enum { MR = 6, NR = 32 };

#endif
