/* Written by layerweaver export: policy $POLICY, translated from $ORIGIN, and the machine it decides for. */
#include "lw_sched.h"

#include <stddef.h>

void *memset(void *to, int value, size_t count);

$HELPERS
/* ---- The policy and the two timelines, from the functions that the simulator compiles ---- */

[room]static int64_t room_left(lw_scheduler *lw);
[room]
$PROGRAM
[room][near]/* What could be fetched until the last compute ends; few rows are in flight where they are committed late. */
[room][near]static int64_t room_left(lw_scheduler *lw)
[room][near]{
[room][near]    lw_machine *machine = &lw->machine;
[room][near]    if (!lw->room_known) {
[room][near]        int64_t least = machine->appended_scaled;
[room][near]        for (int32_t at = machine->first; at < machine->last; at++) {
[room][near]            const lw_fetch *entry = &lw->fetches[at & LW_MASK];
[room][near]            int64_t until = (int64_t)(machine->compute_end - entry->done) * $RATE;
[room][near]            until += (int64_t)entry->before_scaled;
[room][near]            least = at == machine->first || until < least ? until : least;
[room][near]        }
[room][near]        machine->room_scaled = least + ($BUFFER - (int64_t)machine->appended_scaled);
[room][near]        lw->room_known = 1;
[room][near]    }
[room][near]    return machine->room_scaled;
[room][near]}
[room][near]
[noted]/* Note rows in flight up to a position in a queue of those that room depends on: keys ascend, the first is least. */
[noted]static void note_until(lw_scheduler *lw, int32_t until)
[noted]{
[noted]    lw_machine *machine = &lw->machine;
[noted]    int32_t last = lw->window_last, at = lw->noted - 1; /* it may have been replaced since */
[noted]    at = at > machine->first ? at : machine->first;
[noted]    while (lw->window_first < last && lw->window[lw->window_first & LW_MASK].position < machine->first) {
[noted]        lw->window_first++;
[noted]    }
[noted]    for (; at < until; at++) {
[noted]        const lw_fetch *entry = &lw->fetches[at & LW_MASK];
[noted]        int64_t key = lw->dropped_scaled + entry->before_scaled - (entry->done - machine->origin) * $RATE;
[noted]        lw_note *note;
[noted]        while (last > lw->window_first && lw->window[(last - 1) & LW_MASK].key >= key) {
[noted]            last--;
[noted]        }
[noted]        note = &lw->window[last & LW_MASK];
[noted]        note->key = key;
[noted]        note->position = at;
[noted]        last++;
[noted]    }
[noted]    lw->window_last = last;
[noted]    lw->noted = at;
[noted]}
[noted]
[noted]/* What could be fetched until the last compute ends: counted when it is asked for, once for each decision. */
[noted]static int64_t room_left(lw_scheduler *lw)
[noted]{
[noted]    lw_machine *machine = &lw->machine;
[noted]    if (!lw->room_known) {
[noted]        int64_t room = $BUFFER;
[noted]        if (machine->first < machine->last) {
[noted]            note_until(lw, machine->last);
[noted]            room += lw->window[lw->window_first & LW_MASK].key - lw->dropped_scaled - machine->appended_scaled;
[noted]            room += (machine->compute_end - machine->origin) * $RATE;
[noted]        }
[noted]        machine->room_scaled = room;
[noted]        lw->room_known = 1;
[noted]    }
[noted]    return machine->room_scaled;
[noted]}
[noted]
[noted]/* Keys of entries have changed: note all of them again. */
[noted]static void forget_room(lw_scheduler *lw)
[noted]{
[noted]    lw->noted = lw->machine.first;
[noted]    lw->window_first = 0;
[noted]    lw->window_last = 0;
[noted]}
[noted]
[near]/* Times are kept in 32 bits, as cycles after the epoch, which follows the decisions. */
[near]static int32_t earlier(int32_t time, int32_t cycles)
[near]{
[near]    return time - cycles > -LW_NEAR ? time - cycles : -LW_NEAR;
[near]}
[near]
[near]static void move_epoch(lw_scheduler *lw)
[near]{
[near]    lw_machine *machine = &lw->machine;
[near]    int64_t cycles = lw->now - lw->epoch;
[near]    int32_t few = cycles < 2 * LW_NEAR ? (int32_t)cycles : 2 * LW_NEAR;
[near]    lw->epoch = lw->now;
[near]    for (int32_t at = machine->first; at < machine->last; at++) {
[near]        lw_fetch *entry = &lw->fetches[at & LW_MASK];
[near]        entry->done = earlier(entry->done, few);
[near]    }
[near]    machine->fetch_end = earlier(machine->fetch_end, few);
[near]    machine->compute_end = earlier(machine->compute_end, few);
[near][ahead]    for (int32_t k = 0; k <= $AHEAD; k++) {
[near][ahead]        lw->recent[k] = earlier(lw->recent[k], few);
[near][ahead]    }
$MOVED_HEADS
[near]}
[near]
/* ---- Queues and heads ---- */

/* Costs of a head's next row. */
static void load_row(lw_head *head)
{
[head.compute_cycles]    head->compute_cycles = @compute_cycles[head->place];
[head.fetch_cycles]    head->fetch_cycles = @fetch_cycles[head->place];
[head.weight_scaled]    head->weight_scaled = ($WEIGHT_TYPE)(($WEIGHT_WORK)@weight_bytes[head->place] * $SCALE);
    (void)head;
}

/* List the tenants that have a head, ascending. */
static void list_ready(lw_scheduler *lw)
{
    int32_t count = 0;
[machine.longest_fetch_cycles]    $LONGEST_WORK longest = 0;
    for (int32_t index = 0; index < LW_TENANTS; index++) {
        if (lw->heads[index].rows_left > 0) {
[machine.longest_fetch_cycles]            $LONGEST_WORK cycles = ($LONGEST_WORK)@longest_fetch_cycles[lw->heads[index].profile];
[machine.longest_fetch_cycles]            longest = cycles > longest ? cycles : longest;
            lw->ready[count] = (lw_tenant)index;
            count++;
        }
    }
    lw->machine.ready_count = ($COUNT_TYPE)count;
[machine.longest_fetch_cycles]    lw->machine.longest_fetch_cycles = ($LONGEST_TYPE)longest;
}

[defers]static lw_request *first_of(const lw_head *head)
[defers]{
[defers]    return head->hopeless ? head->late : head->fresh;
[defers]}
[!defers]static lw_request *first_of(const lw_head *head)
[!defers]{
[!defers]    return head->fresh;
[!defers]}

[timeouts]static lw_request **behind(lw_request **at, int32_t count)
[timeouts]{
[timeouts]    for (; count > 0; count--) {
[timeouts]        at = &(*at)->next;
[timeouts]    }
[timeouts]    return at;
[timeouts]}
[timeouts]
[timeouts][defers]/* Whether some that others were let pass have not begun. */
[timeouts][defers]static int late_wait(const lw_head *head)
[timeouts][defers]{
[timeouts][defers]    return head->passed > (head->started && head->hopeless ? (int32_t)$HEAD_BATCH : 0);
[timeouts][defers]}
[timeouts][defers]
[timeouts]/* Where the oldest request that has not begun is linked. */
[timeouts]static lw_request **oldest_of(lw_head *head)
[timeouts]{
[timeouts]    int32_t begun = head->started ? (int32_t)$HEAD_BATCH : 0;
[timeouts][defers]    if (late_wait(head)) {
[timeouts][defers]        return behind(&head->late, head->hopeless ? begun : 0);
[timeouts][defers]    }
[timeouts][defers]    begun = head->hopeless ? 0 : begun;
[timeouts]    return behind(&head->fresh, begun);
[timeouts]}
[timeouts]
[timeouts]/* When the oldest request that has not begun will have waited for too long. */
[timeouts]static int64_t patience_of(lw_head *head, int32_t index)
[timeouts]{
[timeouts]    const lw_request *oldest = *oldest_of(head);
[timeouts]    (void)index;
[timeouts]    return oldest == 0 ? LW_NEVER : oldest->arrival + @timeout_cycles[index] + 1;
[timeouts]}
[timeouts]
[timeouts]static void watch(lw_scheduler *lw, int32_t index)
[timeouts]{
[timeouts]    lw_head *head = &lw->heads[index];
[timeouts]    head->times_out = patience_of(head, index);
[timeouts]    lw->wake = head->times_out < lw->wake ? head->times_out : lw->wake;
[timeouts]}
[timeouts]
[timeouts]/* Requests that have waited for too long by a cycle leave; whether there were any. */
[timeouts]static int time_out(lw_scheduler *lw, int32_t index, int64_t now)
[timeouts]{
[timeouts]    lw_head *head = &lw->heads[index];
[timeouts]    int any = head->times_out <= now;
[timeouts]    while (head->times_out <= now) {
[timeouts]        lw_request **at = oldest_of(head), *request = *at;
[timeouts]        lw_request *before = (lw_request *)(void *)at; /* the link is its first member, or begins the list */
[timeouts]        if (!head->started && request == first_of(head)) {
[timeouts]            head->rows_left = 0;
[timeouts]        }
[timeouts][defers]        if (late_wait(head)) {
[timeouts][defers]            head->late_last = head->late_last == request ? before : head->late_last;
[timeouts][defers]            head->passed--;
[timeouts][defers]        }
[timeouts]        head->fresh_last = head->fresh_last == request ? before : head->fresh_last;
[timeouts]        *at = request->next;
[timeouts]        head->queued--;
[machine.queued][timeouts]        lw->machine.queued--;
[timeouts]        request->next = lw->dropped;
[timeouts]        lw->dropped = request;
[timeouts]        head->times_out = patience_of(head, index);
[timeouts]    }
[timeouts]    lw->wake = head->times_out < lw->wake ? head->times_out : lw->wake;
[timeouts]    return any;
[timeouts]}
[timeouts]
[drops]static void drop_first(lw_scheduler *lw, lw_head *head)
[drops]{
[drops]    lw_request *request = head->fresh;
[drops]    head->fresh = request->next;
[drops]    head->queued--;
[machine.queued][drops]    lw->machine.queued--;
[drops]    head->rows_left = 0;
[drops]    request->next = lw->dropped;
[drops]    lw->dropped = request;
[timeouts][drops]    watch(lw, (int32_t)(head - lw->heads));
[drops]}
[drops]
/* Cycles that a batch of so many requests takes alone, and the profile at which it runs. */
static int32_t profile_of(int32_t index, int32_t size)
{
    int32_t chosen = @first_profile[index];
[batches]    while ((int32_t)@batch_size[chosen] < size) {
[batches]        chosen++;
[batches]    }
[!batches]    (void)size;
    (void)index;
    return chosen;
}

/* How many of so many requests the head batch takes, 0 to wait for more; a batch that is due takes all it can. */
static int32_t batch_of(int32_t index, int32_t waiting, int due)
{
    int32_t largest = @largest_batch[index];
    (void)index;
    (void)due;
[waits]    if (waiting < largest && !due) {
[waits]        int32_t at = @first_preferred[index], end = at + @preferred_count[index], size = 0;
[waits]        for (; at < end; at++) {
[waits]            size = (int32_t)@preferred_sizes[at] <= waiting ? (int32_t)@preferred_sizes[at] : size;
[waits]        }
[waits]        return size;
[waits]    }
    return waiting < largest ? waiting : largest;
}

[waits]/* Cycle at which the batch of so many requests goes even if it is not full. */
[waits]static int64_t goes_at(const lw_head *head, int32_t index, int32_t waiting, const lw_request *oldest)
[waits]{
[waits]    int64_t cycle = oldest->arrival + @delay_cycles[index];
[waits]    (void)head;
[waits]    (void)waiting;
[waits][defers]    if (@hurries[index] && !head->hopeless) {
[waits][defers]        int32_t profile = profile_of(index, batch_of(index, waiting, 1));
[waits][defers]        int64_t alone = (int64_t)@standalone_cycles[profile], soon = oldest->deadline - alone - alone / 2;
[waits][defers]        (void)profile;
[waits][defers]        cycle = soon < cycle ? soon : cycle;
[waits][defers]    }
[waits]    return cycle;
[waits]}
[waits]
[defers]/* Let the requests at the front that can no longer be in time step aside. */
[defers]static void pass_over(lw_scheduler *lw, lw_head *head, int32_t index)
[defers]{
[defers]    int64_t now = lw->now;
[defers]    lw_request *at = head->fresh, *last = 0;
[defers]    int32_t waiting = head->queued - head->passed;
[defers]    (void)index;
[defers]    for (; waiting > 0; waiting--) {
[waits][defers]        int due = goes_at(head, index, waiting, at) <= now;
[waits][defers]        int32_t profile = profile_of(index, batch_of(index, waiting, due || head->due));
[!waits][defers]        int32_t profile = profile_of(index, batch_of(index, waiting, 1));
[defers]        int64_t ends = now + (int64_t)@standalone_cycles[profile];
[behind]        int64_t behind = ${EPOCH}lw->machine.compute_end + (int64_t)@model_compute_cycles[profile];
[behind]        ends = behind > ends ? behind : ends;
[defers]        (void)profile;
[defers]        if (ends <= at->deadline) {
[defers]            break;
[defers]        }
[waits][defers]        head->due = (uint8_t)(due || head->due);
[defers]        last = at;
[defers]        at = at->next;
[defers]    }
[defers]    if (last == 0) {
[defers]        return;
[defers]    }
[defers]    if (head->late == 0) {
[defers]        head->late = head->fresh;
[defers]    } else {
[defers]        head->late_last->next = head->fresh;
[defers]    }
[defers]    head->late_last = last;
[defers]    last->next = 0;
[defers]    head->fresh = at;
[defers]    head->passed = head->queued - waiting;
[defers]}
[defers]
[behind]/* End of the last compute beyond which the oldest request of a head that has not begun cannot be in time. */
[behind]static int64_t late_from(const lw_head *head, int32_t index, int32_t profile)
[behind]{
[behind]    (void)index;
[behind]    (void)profile;
[behind]    if (!@defers[index] || head->hopeless) {
[behind]        return LW_NEVER;
[behind]    }
[behind]    return first_of(head)->deadline - (int64_t)@model_compute_cycles[profile];
[behind]}
[behind]
[behind]static void watch_backlog(lw_scheduler *lw, int64_t late)
[behind]{
[behind]    lw->late_from = late < lw->late_from ? late : lw->late_from;
[behind]}
[behind]
[gives_up]/* Cycle at which a head that has not begun changes by itself, because its oldest request will be too late. */
[gives_up]static int64_t changes_at(const lw_head *head, int32_t index, int32_t profile)
[gives_up]{
[gives_up]    int64_t deadline = first_of(head)->deadline;
[gives_up]    (void)index;
[gives_up]    (void)profile;
[gives_up]    if ($HAS_DEADLINE) {
[drops]        if (@drops[index]) {
[drops]            int32_t smallest = @first_profile[index];
[drops]            (void)smallest;
[drops]            return deadline - (int64_t)@standalone_cycles[smallest] + 1;
[drops]        }
[defers]        if (@defers[index] && !head->hopeless) {
[defers]            return deadline - (int64_t)@standalone_cycles[profile] + 1;
[defers]        }
[gives_up]    }
[gives_up]    return LW_NEVER;
[gives_up]}
[gives_up]
/* Put together the batch at the head of a tenant's queue, where somebody waits; none of it has begun. */
static void put_head(lw_scheduler *lw, int32_t index)
{
    lw_head *head = &lw->heads[index];
    lw_request *first;
    int32_t waiting = head->queued, size, profile, listed = head->rows_left > 0;
[timed]    int64_t change;
[waits]    int64_t goes;
[defers]    head->hopeless = @defers[index] && head->passed == head->queued;
[defers]    waiting = head->hopeless ? head->queued : head->queued - head->passed;
    first = first_of(head);
    (void)first;
[waits]    goes = goes_at(head, index, waiting, first);
[waits]    size = batch_of(index, waiting, head->due || goes <= lw->now);
[!waits]    size = batch_of(index, waiting, 1);
    profile = profile_of(index, size);
[waits]    change = size < (int32_t)@largest_batch[index] && size < waiting ? goes : LW_NEVER;
[waits][gives_up]    head->timer = changes_at(head, index, profile);
[waits][gives_up]    change = head->timer < change ? head->timer : change;
[waits]    head->timer = change;
[waits]    lw->wake = change < lw->wake ? change : lw->wake;
[behind]    watch_backlog(lw, late_from(head, index, profile));
[waits]    if (size == 0) {
[waits][behind]        head->profile = ($PROFILE_TYPE)profile;
[waits]        head->rows_left = 0;
[waits]        list_ready(lw);
[waits]        return;
[waits]    }
[dated]    if (!listed) {
[dated]        head->undated = 1;
[dated]        lw->undated = 1;
[dated]    }
[head.request]    head->request = first->number;
[head.arrival]    head->arrival = first->arrival;
[head.deadline]    head->deadline = first->deadline;
[machine.longest_fetch_cycles][batches]    listed = listed && profile == (int32_t)head->profile;
[head.batch]    head->batch = ($BATCH_TYPE)size;
    head->profile = ($PROFILE_TYPE)profile;
    head->rows_left = @rows[profile];
    head->place = @first_row[profile];
[head.left_compute_cycles]    head->left_compute_cycles = @model_compute_cycles[profile];
[head.left_fetch_cycles]    head->left_fetch_cycles = @model_fetch_cycles[profile];
    load_row(head);
[head.urgent]    head->urgent = first->deadline < LW_NEVER;
[head.urgent]    head->latest_start = (head->urgent ? first->deadline - (int64_t)@remaining_cycles[head->place] : LW_NEVER)$SINCE_EPOCH;
[head.latest_start][!head.urgent]    head->latest_start = first->deadline - (int64_t)@remaining_cycles[head->place]$SINCE_EPOCH;
    if (!listed) {
        list_ready(lw);
    }
[!waits][gives_up]    change = changes_at(head, index, profile);
[!waits][gives_up]    lw->wake = change < lw->wake ? change : lw->wake;
}

/* Give up the requests at the front that can no longer be in time, and put the others together. */
static void form_head(lw_scheduler *lw, int32_t index)
{
    lw_head *head = &lw->heads[index];
[drops]    if (@drops[index]) {
[drops]        int32_t smallest = @first_profile[index];
[drops]        (void)smallest;
[drops]        while (head->queued > 0 && lw->now + (int64_t)@standalone_cycles[smallest] > head->fresh->deadline) {
[drops]            drop_first(lw, head);
[drops]        }
[drops]    }
[waits][defers]    head->hopeless = 0;
[defers]    if (@defers[index]) {
[defers]        pass_over(lw, head, index);
[defers]    }
    if (head->queued > 0) {
        put_head(lw, index);
    } else {
        head->rows_left = 0;
        list_ready(lw);
    }
}

[changes]/* Form the heads that time has changed. */
[changes]static void form_heads(lw_scheduler *lw)
[changes]{
[changes]    lw->wake = LW_NEVER;
[behind]    lw->late_from = LW_NEVER;
[changes]    for (int32_t index = 0; index < LW_TENANTS; index++) {
[changes]        lw_head *head = &lw->heads[index];
[timeouts]        int left = time_out(lw, index, lw->now);
[timeouts]        if (left && !head->started) {
[timeouts]            form_head(lw, index);
[timeouts]        }
[waits]        if (!head->started && head->queued > 0) {
[waits]            int64_t change = head->timer;
[!waits][gives_up]        if (!head->started && head->rows_left > 0) {
[!waits][gives_up]            int64_t change = changes_at(head, index, (int32_t)head->profile);
[behind]            int64_t late = late_from(head, index, (int32_t)head->profile);
[behind]            if (change <= lw->now || ${EPOCH}lw->machine.compute_end > late) {
[timed][!behind]            if (change <= lw->now) {
[timed]                form_head(lw, index);
[timed]            } else {
[behind]                watch_backlog(lw, late);
[timed]                lw->wake = change < lw->wake ? change : lw->wake;
[timed]            }
[timed]        }
[changes]    }
[changes]}
[changes]
[dated]/* Heads that arrivals have put together are so since this decision. */
[dated]static void date_heads(lw_scheduler *lw)
[dated]{
[dated]    for (int32_t index = 0; index < LW_TENANTS; index++) {
[dated]        lw_head *head = &lw->heads[index];
[dated]        if (head->undated) {
[head.since]            head->since = lw->now;
[head.last_start]            head->last_start = lw->now;
[dated]            head->undated = 0;
[dated]        }
[dated]    }
[dated]    lw->undated = 0;
[dated]}
[dated]
/* The last row of a batch was chosen: its requests leave the queue. */
static void finish_batch(lw_scheduler *lw, int32_t index)
{
    lw_head *head = &lw->heads[index];
    lw_request *last = first_of(head), *rest;
    for (int32_t k = 1; k < (int32_t)$HEAD_BATCH; k++) {
        last = last->next;
    }
    rest = last->next;
    last->next = 0;
[defers]    if (head->hopeless) {
[defers]        head->late = rest;
[defers]        head->passed -= (int32_t)$HEAD_BATCH;
[defers]    } else {
[defers]        head->fresh = rest;
[defers]    }
[!defers]    head->fresh = rest;
    head->queued -= (int32_t)$HEAD_BATCH;
[machine.queued]    lw->machine.queued -= (int32_t)$HEAD_BATCH;
    head->started = 0;
    head->rows_left = 0;
    form_head(lw, index);
}

/* ---- Entry points ---- */

void lw_init(lw_scheduler *lw)
{
    memset(lw, 0, sizeof *lw);
[machine.running]    lw->machine.running = -1;
[changes]    lw->wake = LW_NEVER;
[behind]    lw->late_from = LW_NEVER;
[each]    for (int32_t index = 0; index < LW_TENANTS; index++) {
[head.tenant]        lw->heads[index].tenant = (lw_tenant)index;
[timeouts]        lw->heads[index].times_out = LW_NEVER;
[each]    }
}

int lw_arrive(lw_scheduler *lw, int32_t tenant, lw_request *request)
{
    lw_head *head = &lw->heads[tenant];
[timeouts]    int left = time_out(lw, tenant, request->arrival);
[head.arrived]    head->arrived++;
[head.newest]    head->newest = request->arrival;
[limited]    if ((int64_t)head->queued >= (int64_t)@queue_limit[tenant]) {
[limited][timeouts]        if (left && !head->started) {
[limited][timeouts]            put_head(lw, tenant);
[limited][timeouts]        }
[limited]        return 0;
[limited]    }
    request->next = 0;
    if (head->fresh == 0) {
        head->fresh = request;
    } else {
        head->fresh_last->next = request;
    }
    head->fresh_last = request;
    head->queued++;
[machine.queued]    lw->machine.queued++;
[timeouts]    if (head->times_out >= LW_NEVER) {
[timeouts]        watch(lw, tenant);
[timeouts]    }
    if (!head->started && $GROWS) {
        put_head(lw, tenant);
    }
    return 1;
}

int64_t lw_next(const lw_scheduler *lw)
{
    int64_t next = lw->now;
[ahead]    int64_t fetched = ${EPOCH}lw->recent[lw->recent_at];
[!ahead]    int64_t fetched = ${EPOCH}lw->machine.fetch_end;
    if (fetched > next) {
        next = fetched;
    }
[!near]    if (lw->machine.compute_end - $REACH > next) {
[!near]        next = lw->machine.compute_end - $REACH;
[!near]    }
[!overlap]    if (lw->machine.running < 0 && ${EPOCH}lw->machine.compute_end > next) {
[!overlap]        next = ${EPOCH}lw->machine.compute_end;
[!overlap]    }
    return next;
}

static int32_t hold(lw_choice *choice, int64_t until)
{
    choice->until = until;
    return LW_HOLD;
}

/* Count bytes from the oldest row in flight. */
static void restart_counting(lw_scheduler *lw)
{
    lw_machine *machine = &lw->machine;
    $COUNTED_TYPE dropped = machine->appended_scaled;
    if (machine->first < machine->last) {
        dropped = lw->fetches[machine->first & LW_MASK].before_scaled;
    }
    for (int32_t at = machine->first; at < machine->last; at++) {
        lw->fetches[at & LW_MASK].before_scaled -= dropped;
    }
    machine->appended_scaled -= dropped;
[noted]    lw->dropped_scaled += dropped;
}

/* Count positions in the list of fetches from low numbers again; what they say modulo LW_RING stays. */
static void restart_positions(lw_scheduler *lw)
{
    lw_machine *machine = &lw->machine;
    int32_t rounds = machine->first & ~LW_MASK;
    machine->first -= rounds;
    machine->last -= rounds;
[noted]    forget_room(lw);
}

/* Append the next row of a tenant's head to the timelines. */
static void schedule(lw_scheduler *lw, int32_t index, lw_choice *choice)
{
    lw_head *head = &lw->heads[index];
    $TIME fetch_end, compute_end;
[switches]    if ((int32_t)lw->machine.running != index) {
[!overlap]        if (lw->machine.start < lw->machine.compute_end) {
[!overlap]            lw->machine.start = lw->machine.compute_end;
[!overlap]        }
[checkpoints]        if (lw->machine.running >= 0) {
[checkpoints]            const lw_head *left = &lw->heads[lw->machine.running];
[checkpoints]            int64_t live_scaled = (int64_t)@live_bytes[left->place] * $SCALE;
[checkpoints]            lw->machine.start += ($TIME)((live_scaled + ($RATE - 1)) / $RATE);
[checkpoints]        }
[switches]        policy_release(lw);
[switches]    }
    fetch_end = policy_fetch_end_of(lw, head);
    compute_end = (fetch_end > lw->machine.compute_end ? fetch_end : lw->machine.compute_end) + ($TIME)$HEAD_COMPUTE;
    choice->tenant = index;
    choice->profile = (int32_t)head->profile;
    choice->row = (int32_t)head->place - (int32_t)@first_row[head->profile];
    choice->batch = (int32_t)$HEAD_BATCH;
    choice->requests = first_of(head);
    choice->fetch_start = $FROM_EPOCH(lw->machine.start);
    choice->fetch_end = $FROM_EPOCH(fetch_end);
    choice->compute_end = $FROM_EPOCH(compute_end);
[timeouts]    if (!head->started) {
[timeouts]        head->started = 1;
[timeouts]        watch(lw, index);
[timeouts]    }
    head->started = 1;
[waits]    head->due = 0;
[head.last_start]    head->last_start = ${EPOCH}lw->machine.start;
    policy_append_fetch(lw, $HEAD_WEIGHT, compute_end);
    lw->machine.fetch_end = fetch_end;
    lw->machine.compute_end = compute_end;
[ahead]    lw->recent[lw->recent_at] = fetch_end;
[ahead]    lw->recent_at = lw->recent_at < $AHEAD ? lw->recent_at + 1 : 0;
    if (lw->machine.appended_scaled > LW_MOST_COUNTED) {
        restart_counting(lw);
    }
[noted]    if (compute_end - lw->machine.origin > 2 * $REACH) {
[noted]        lw->machine.origin = lw->machine.start;
[noted]        lw->dropped_scaled = 0;
[noted]        forget_room(lw);
[noted]    }
[noted]    if (lw->machine.last - lw->noted > LW_UNNOTED) {
[noted]        note_until(lw, lw->noted + 2);
[noted]    }
[head.served_compute_cycles]    head->served_compute_cycles += (int64_t)$HEAD_COMPUTE;
[head.served_fetch_cycles]    head->served_fetch_cycles += (int64_t)$HEAD_FETCH;
[head.left_compute_cycles]    head->left_compute_cycles = ($LEFT_COMPUTE_TYPE)(head->left_compute_cycles - $HEAD_COMPUTE);
[head.left_fetch_cycles]    head->left_fetch_cycles = ($LEFT_FETCH_TYPE)(head->left_fetch_cycles - $HEAD_FETCH);
    if (lw->machine.last > LW_MOST_POSITIONS) {
        restart_positions(lw);
    }
    head->rows_left--;
    choice->last = head->rows_left == 0;
    if (choice->last) {
[machine.running]        lw->machine.running = -1;
        finish_batch(lw, index);
    } else {
[machine.running]        lw->machine.running = ($RUNNING_TYPE)index;
        head->place++;
        load_row(head);
[head.urgent]        if (head->urgent) {
[head.urgent]            head->latest_start += @remaining_cycles[head->place - 1] - @remaining_cycles[head->place];
[head.urgent]        }
[head.latest_start][!head.urgent]        head->latest_start += @remaining_cycles[head->place - 1] - @remaining_cycles[head->place];
    }
}

int32_t lw_decide(lw_scheduler *lw, int64_t now, lw_choice *choice)
{
    lw->now = now;
[near]    if ((uint64_t)(now - lw->epoch) >= (uint64_t)LW_NEAR / 4) {
[near]        move_epoch(lw);
[near]    }
[machine.now]    lw->machine.now = ($TIME)(now$SINCE_EPOCH);
    for (;;) {
        int32_t index;
[behind]        if (lw->wake <= now || ${EPOCH}lw->machine.compute_end > lw->late_from) {
[changes][!behind]        if (lw->wake <= now) {
[changes]            form_heads(lw);
[changes]        }
[dated]        if (lw->undated) {
[dated]            date_heads(lw);
[dated]        }
        if (lw->machine.ready_count == 0) {
            return hold(choice, $LATEST);
        }
        lw->machine.start = ($TIME)(now$SINCE_EPOCH + $DECISION_CYCLES);
        if (lw->machine.fetch_end > lw->machine.start) {
            lw->machine.start = lw->machine.fetch_end;
        }
        policy_release(lw);
[room]        lw->room_known = 0;
[machine.mode]        lw->machine.mode = 0;
        lw->machine.hold_until = LW_NEVER;
        if (lw->machine.last - lw->machine.first <= LW_MASK) {
            index = $DECIDE;
        } else {
            index = LW_HOLD;
            lw->machine.hold_until = ${EPOCH}lw->fetches[lw->machine.first & LW_MASK].done;
        }
        if (index == LW_HOLD) {
            int64_t until = lw->machine.hold_until;
[changes]            form_heads(lw); /* of heads that began since, nothing changes by itself any more */
[changes]            until = until < lw->wake ? until : lw->wake;
            if (lw->machine.compute_end > ($TIME)(lw->now$SINCE_EPOCH) && ${EPOCH}lw->machine.compute_end < until) {
                until = ${EPOCH}lw->machine.compute_end;
            }
            return hold(choice, until);
        }
        if ((uint32_t)index >= LW_TENANTS || lw->heads[index].rows_left == 0) {
            return LW_BAD;
        }
[drops]        if (@drops[index] && !lw->heads[index].started) {
[drops]            lw_head *head = &lw->heads[index];
[drops]            if (${EPOCH}lw->machine.start + (int64_t)@standalone_cycles[head->profile] > head->fresh->deadline) {
[drops]                drop_first(lw, head);
[drops]                form_head(lw, index);
[drops]                continue;
[drops]            }
[drops]        }
        schedule(lw, index, choice);
        return index;
    }
}

void lw_row_done(lw_scheduler *lw, int64_t expected, int64_t actual)
{
    int64_t later = actual - expected;
    if (later == 0) {
        return;
    }
[near]    expected -= lw->epoch;
    for (int32_t at = lw->machine.first; at < lw->machine.last; at++) {
        lw_fetch *entry = &lw->fetches[at & LW_MASK];
        if (entry->done >= expected) {
            entry->done += ($TIME)later;
        }
    }
    lw->machine.compute_end += ($TIME)later;
[noted]    forget_room(lw);
}
[leaves]
[leaves]lw_request *lw_dropped(lw_scheduler *lw)
[leaves]{
[leaves]    lw_request *dropped = lw->dropped;
[leaves]    lw->dropped = 0;
[leaves]    return dropped;
[leaves]}
