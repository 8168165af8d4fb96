#include "layers/crew.h"

static void work(void *of) {
    cf_part *part = of;
    part->loop(part->of, part->begin, part->end);
    part->threads->release(part->ended);
}

void cf_share(cf_loop *loop, const void *of, size_t items, cf_part *part, size_t size, const cf_threads *threads) {
    size_t begin = items / size;
    for (size_t i = 0; i + 1 < size; ++i) {
        part[i].loop = loop;
        part[i].of = of;
        part[i].threads = threads;
        part[i].begin = begin;
        begin = part[i].end = items / size * (i + 2) + items % size * (i + 2) / size;
        /* no thread can be started */
        if (!threads->start(work, &part[i]))
            work(&part[i]);
    }
    loop(of, 0, items / size);
    for (size_t i = 0; i + 1 < size; ++i)
        threads->acquire(part[i].ended);
}
