/* The loops as the compiler builds them for every processor of this architecture. */
#define LAYERS cf_layers_portable
#define LAYERS_NAME "portable"
#include "layers/all.inc"

const cf_layers *cf_layers_find(const char *name) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (!strcmp(name, cf_layers_avx512.name))
        return &cf_layers_avx512;
    if (!strcmp(name, cf_layers_avx2.name))
        return &cf_layers_avx2;
#endif
    (void)name;
    return &cf_layers_portable;
}
