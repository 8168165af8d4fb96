/* Splits a loop among threads. Each thread has its own items. */
#ifndef CF_CREW_H
#define CF_CREW_H

#include "layers/layers.h"
#include "team.h"

typedef struct {
    cf_loop *loop;
    const void *of;
    size_t begin, end;
    const cf_threads *threads;
    void *ended; /* a lock given by the caller, acquired; the thread releases it last */
} cf_part;

/* Runs loop(of, 0, items) on the caller's thread and those of the `size - 1` parts. */
void cf_share(cf_loop *loop, const void *of, size_t items, cf_part *part, size_t size, const cf_threads *threads);

#endif
