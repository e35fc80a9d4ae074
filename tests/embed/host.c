/* host.c - a program that knows nothing of the library and loads plugin.c's shared object. Usage: host PLUGIN MODEL.gguf PROMPT
 * Prints the token that follows, asked for twice. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    int32_t (*next_token)(const char *, const char *);
    void *plugin = argc == 4 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL, *symbol;

    if (!plugin || !(symbol = dlsym(plugin, "plugin_next_token"))) {
        fprintf(stderr, "host: %s\n", argc == 4 ? dlerror() : "usage: host PLUGIN MODEL.gguf PROMPT");
        return 1;
    }
    memcpy(&next_token, &symbol, sizeof next_token);
    for (int i = 0; i < 2; i++)
        printf("%" PRId32 "\n", next_token(argv[2], argv[3]));
    return 0;
}
