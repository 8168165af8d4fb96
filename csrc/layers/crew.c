#include "layers/crew.h"

/* Portions of a loop for each thread: a thread that comes late makes the others wait for one portion. */
enum { PORTIONS = 4 };

/* Returns whether the state was `from`, which is `to` then. */
static int change(cf_hand *hand, int from, int to) {
    return atomic_compare_exchange_strong(&hand->state, &from, to);
}

static void take_portions(cf_crew *crew) {
    for (;;) {
        const size_t begin = atomic_fetch_add(&crew->next, crew->portion);
        if (begin >= crew->items)
            return;
        crew->loop(crew->of, begin, crew->items - begin > crew->portion ? begin + crew->portion : crew->items);
    }
}

static void work(void *of) {
    cf_hand *hand = of;
    cf_crew *crew = hand->crew;
    for (;;) {
        cf_leave(crew->threads, atomic_load(&crew->caller));
        if (change(hand, CF_GIVEN, CF_TAKEN)) {
            take_portions(crew);
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
    crew->items = items;
    crew->portion = items / ((hands + 1) * PORTIONS) + 1;
    atomic_store(&crew->next, 0);
    for (size_t i = 0; i < hands; ++i)
        if (atomic_exchange(&crew->hand[i].state, CF_GIVEN) == CF_WAITING)
            crew->threads->release(crew->hand[i].turn);
    take_portions(crew);
    for (size_t i = 0; i < hands; ++i) {
        cf_hand *hand = &crew->hand[i];
        if (!change(hand, CF_GIVEN, CF_FREE) && change(hand, CF_TAKEN, CF_AWAITED))
            crew->threads->acquire(hand->ended);
    }
}
