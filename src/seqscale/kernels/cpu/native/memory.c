#include "memory.h"

struct block {
    size_t bytes;
    void *memory;
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release(void *held) {
    free(((struct block *)held)->memory);
    free(held);
}

static void create(void) { pthread_key_create(&key, release); }

void *scratch(size_t bytes) {
    pthread_once(&once, create);
    struct block *held = pthread_getspecific(key);
    if (!held) {
        held = calloc(1, sizeof *held);
        if (!held)
            return NULL;
        pthread_setspecific(key, held);
    }
    if (held->bytes < bytes) {
        free(held->memory);
        held->memory = NULL;
        held->bytes = 0;
        if (posix_memalign(&held->memory, LINE, bytes))
            return held->memory = NULL;
        held->bytes = bytes;
    }
    return held->memory;
}
