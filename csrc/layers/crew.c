#include "layers/crew.h"

/* Portions of a loop for each thread: a thread that comes late makes the others wait for one portion. */
enum { PORTIONS = 4 };

/* Returns whether the state was `from`, which is `to` then. */
static int change(cf_hand *hand, int from, int to) {
    return atomic_compare_exchange_strong(&hand->state, &from, to);
}

/* Takes portions of a part, and then what is left of the others. */
static void take_portions(cf_crew *crew, size_t part) {
    for (size_t i = 0; i < crew->parts; ++i, part = part + 1 < crew->parts ? part + 1 : 0)
        for (;;) {
            const size_t begin = atomic_fetch_add(&crew->part[part].next, crew->portion), end = crew->part[part].end;
            if (begin >= end)
                break;
            crew->loop(crew->of, begin, end - begin > crew->portion ? begin + crew->portion : end);
        }
}

static void work(void *of) {
    cf_hand *hand = of;
    cf_crew *crew = hand->crew;
    for (;;) {
        cf_leave(crew->threads, atomic_load(&crew->caller));
        if (change(hand, CF_GIVEN, CF_TAKEN)) {
            take_portions(crew, hand->part);
            if (atomic_exchange(&hand->state, CF_FREE) == CF_AWAITED)
                crew->threads->release(hand->ended);
        } else if (change(hand, CF_FREE, CF_WAITING)) {
            crew->threads->acquire(hand->turn);
        }
    }
}

int cf_crew_join(cf_crew *crew) {
    cf_hand *hand = &crew->hand[crew->size];
    hand->crew = crew;
    hand->part = crew->size + 1;
    atomic_store(&crew->caller, crew->threads->here());
    atomic_store(&hand->state, CF_FREE);
    if (!crew->threads->start(work, hand))
        return 0;
    ++crew->size;
    return 1;
}

void cf_crew_share(cf_crew *crew, size_t hands, cf_loop *loop, const void *of, size_t items) {
    hands = hands < crew->size ? hands : crew->size;
    atomic_store(&crew->caller, crew->threads->here());
    crew->loop = loop;
    crew->of = of;
    crew->parts = hands + 1;
    crew->portion = items / (crew->parts * PORTIONS) + 1;
    for (size_t i = 0, begin = 0; i < crew->parts; ++i) {
        atomic_store(&crew->part[i].next, begin);
        begin = crew->part[i].end = items / crew->parts * (i + 1) + items % crew->parts * (i + 1) / crew->parts;
    }
    for (size_t i = 0; i < hands; ++i)
        if (atomic_exchange(&crew->hand[i].state, CF_GIVEN) == CF_WAITING)
            crew->threads->release(crew->hand[i].turn);
    take_portions(crew, 0);
    for (size_t i = 0; i < hands; ++i) {
        cf_hand *hand = &crew->hand[i];
        if (!change(hand, CF_GIVEN, CF_FREE) && change(hand, CF_TAKEN, CF_AWAITED))
            crew->threads->acquire(hand->ended);
    }
}
