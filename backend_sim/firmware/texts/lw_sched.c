/* Written by layerweaver export: policy $POLICY, translated from $ORIGIN, and the machine it decides for. */
#include "lw_sched.h"

#include <stddef.h>

void *memset(void *to, int value, size_t count);

$HELPERS
/* ---- The policy and the two timelines, from the functions that the simulator compiles ---- */

[machine.room_scaled]static int64_t room_left(lw_scheduler *lw);
[machine.room_scaled]
$PROGRAM
[machine.room_scaled]/* What could be fetched until the last compute ends: counted when it is asked for, once for each decision. */
[machine.room_scaled]static int64_t room_left(lw_scheduler *lw)
[machine.room_scaled]{
[machine.room_scaled]    lw_machine *machine = &lw->machine;
[machine.room_scaled]    if (!lw->room_known) {
[machine.room_scaled]        int32_t at = lw->noted - 1; /* it may have been replaced since */
[machine.room_scaled]        at = at > machine->first ? at : machine->first;
[machine.room_scaled]        while (machine->window_first < machine->window_last &&
[machine.room_scaled]               lw->notes[machine->window_first & LW_MASK].window < machine->first) {
[machine.room_scaled]            machine->window_first++;
[machine.room_scaled]        }
[machine.room_scaled]        for (; at < machine->last; at++) {
[machine.room_scaled]            policy_note_key(lw, at);
[machine.room_scaled]        }
[machine.room_scaled]        lw->noted = at;
[machine.room_scaled]        policy_find_room(lw);
[machine.room_scaled]        lw->room_known = 1;
[machine.room_scaled]    }
[machine.room_scaled]    return machine->room_scaled;
[machine.room_scaled]}
[machine.room_scaled]
[machine.room_scaled]/* Keys of entries have changed: note all of them again when they are asked for. */
[machine.room_scaled]static void forget_room(lw_scheduler *lw)
[machine.room_scaled]{
[machine.room_scaled]    lw->noted = lw->machine.first;
[machine.room_scaled]    lw->machine.window_first = 0;
[machine.room_scaled]    lw->machine.window_last = 0;
[machine.room_scaled]    lw->room_known = 0;
[machine.room_scaled]}
[machine.room_scaled]
[near]/* Times are kept in 32 bits, as cycles after the epoch, which follows the decisions. */
[near]static int32_t earlier(int32_t time, int64_t cycles)
[near]{
[near]    int64_t moved = (int64_t)time - cycles;
[near]    return moved > -LW_NEAR ? (int32_t)moved : (int32_t)-LW_NEAR;
[near]}
[near]
[near]static void move_epoch(lw_scheduler *lw)
[near]{
[near]    lw_machine *machine = &lw->machine;
[near]    int64_t cycles = lw->now - lw->epoch;
[near]    lw->epoch = lw->now;
[near]    for (int32_t at = machine->first; at < machine->last; at++) {
[near]        lw_fetch *entry = &lw->fetches[at & LW_MASK];
[near]        entry->done = earlier(entry->done, cycles);
[near]    }
[near]    machine->fetch_end = earlier(machine->fetch_end, cycles);
[near]    machine->compute_end = earlier(machine->compute_end, cycles);
[near]    machine->origin = 0;
[near][ahead]    for (int32_t k = 0; k <= $AHEAD; k++) {
[near][ahead]        lw->recent[k] = earlier(lw->recent[k], cycles);
[near][ahead]    }
$MOVED_HEADS
[near][machine.room_scaled]    forget_room(lw);
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

[machine.longest_fetch_cycles]static void note_longest_fetch(lw_scheduler *lw)
[machine.longest_fetch_cycles]{
[machine.longest_fetch_cycles]    int32_t longest = 0;
[machine.longest_fetch_cycles]    for (int32_t k = 0; k < (int32_t)lw->machine.ready_count; k++) {
[machine.longest_fetch_cycles]        int32_t cycles = (int32_t)@longest_fetch_cycles[lw->heads[lw->ready[k]].profile];
[machine.longest_fetch_cycles]        longest = cycles > longest ? cycles : longest;
[machine.longest_fetch_cycles]    }
[machine.longest_fetch_cycles]    lw->machine.longest_fetch_cycles = ($LONGEST_TYPE)longest;
[machine.longest_fetch_cycles]    lw->reformed = 0;
[machine.longest_fetch_cycles]}
[machine.longest_fetch_cycles]
/* Insert or remove a tenant in the ascending list of those with a head. */
static void set_ready(lw_scheduler *lw, int32_t index, int wanted)
{
[several]    int32_t count = (int32_t)lw->machine.ready_count, at = 0;
[several]    while (at < count && (int32_t)lw->ready[at] < index) {
[several]        at++;
[several]    }
[several]    if ((at < count && (int32_t)lw->ready[at] == index) == wanted) {
[several]        return;
[several]    }
[several]    if (wanted) {
[several]        for (int32_t k = count; k > at; k--) {
[several]            lw->ready[k] = lw->ready[k - 1];
[several]        }
[several]        lw->ready[at] = (lw_tenant)index;
[several]        lw->machine.ready_count++;
[several]    } else {
[several]        for (int32_t k = at; k < count - 1; k++) {
[several]            lw->ready[k] = lw->ready[k + 1];
[several]        }
[several]        lw->machine.ready_count--;
[several]        lw->heads[index].rows_left = 0;
[several]    }
[!several]    lw->ready[0] = (lw_tenant)index;
[!several]    lw->machine.ready_count = wanted != 0;
[!several]    if (!wanted) {
[!several]        lw->heads[index].rows_left = 0;
[!several]    }
}

[drops]static void drop_first(lw_scheduler *lw, lw_head *head)
[drops]{
[drops]    lw_request *request = head->fresh;
[drops]    head->fresh = request->next;
[drops]    head->queued--;
[machine.queued][drops]    lw->machine.queued--;
[drops]    head->rows_left = 0;
[drops]    request->next = lw->dropped;
[drops]    lw->dropped = request;
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

static int32_t batch_of(int32_t index, int32_t waiting)
{
    int32_t largest = @largest_batch[index];
    (void)index;
    return waiting < largest ? waiting : largest;
}

[defers]/* Let the requests at the front that can no longer be in time, even alone, step aside. */
[defers]static void pass_over(lw_head *head, int32_t index, int64_t now)
[defers]{
[defers]    (void)index;
[defers]    while (head->queued > head->passed) {
[defers]        lw_request *oldest = head->fresh;
[defers]        int32_t size = batch_of(index, head->queued - head->passed);
[defers]        int32_t profile = profile_of(index, size);
[defers]        (void)profile;
[defers]        if (oldest->deadline == LW_NEVER || now + (int64_t)@standalone_cycles[profile] <= oldest->deadline) {
[defers]            break;
[defers]        }
[defers]        head->fresh = oldest->next;
[defers]        oldest->next = 0;
[defers]        if (head->late == 0) {
[defers]            head->late = oldest;
[defers]        } else {
[defers]            head->late_last->next = oldest;
[defers]        }
[defers]        head->late_last = oldest;
[defers]        head->passed++;
[defers]    }
[defers]}
[defers]
[defers]static lw_request *first_of(const lw_head *head)
[defers]{
[defers]    return head->hopeless ? head->late : head->fresh;
[defers]}
[!defers]static lw_request *first_of(const lw_head *head)
[!defers]{
[!defers]    return head->fresh;
[!defers]}

/* Cycle at which a head that has not begun changes by itself, because its oldest request will be too late. */
static int64_t changes_at(const lw_head *head, int32_t index)
{
[gives_up]    int64_t deadline = first_of(head)->deadline;
[gives_up]    (void)index;
[gives_up]    if (deadline < LW_NEVER) {
[drops]        if (@drops[index]) {
[drops]            int32_t smallest = @first_profile[index];
[drops]            (void)smallest;
[drops]            return deadline - (int64_t)@standalone_cycles[smallest] + 1;
[drops]        }
[defers]        if (@defers[index] && !head->hopeless) {
[defers]            return deadline - (int64_t)@standalone_cycles[head->profile] + 1;
[defers]        }
[gives_up]    }
[!gives_up]    (void)head;
[!gives_up]    (void)index;
    return LW_NEVER;
}

/* Put together the batch at the head of a tenant's queue; none of it has begun. */
static void form_head(lw_scheduler *lw, int32_t index)
{
    lw_head *head = &lw->heads[index];
    lw_request *first;
    int32_t waiting, size, profile;
    int64_t change;
    head->changed = 0;
[machine.longest_fetch_cycles]    lw->reformed = 1;
[drops]    if (@drops[index]) {
[drops]        int32_t smallest = @first_profile[index];
[drops]        (void)smallest;
[drops]        while (head->queued > 0 && head->fresh->deadline < LW_NEVER &&
[drops]               lw->now + (int64_t)@standalone_cycles[smallest] > head->fresh->deadline) {
[drops]            drop_first(lw, head);
[drops]        }
[drops]    }
    if (head->queued == 0) {
        set_ready(lw, index, 0);
        return;
    }
    waiting = head->queued;
[defers]    head->hopeless = 0;
[defers]    if (@defers[index]) {
[defers]        pass_over(head, index, lw->now);
[defers]        head->hopeless = head->passed == head->queued;
[defers]        waiting = head->hopeless ? head->queued : head->queued - head->passed;
[defers]    }
    first = first_of(head);
    (void)first;
    size = batch_of(index, waiting);
    profile = profile_of(index, size);
[head.since]    if (head->rows_left == 0) {
[head.since]        head->since = lw->now$SINCE_EPOCH;
[head.since]    }
[head.last_start]    if (head->rows_left == 0) {
[head.last_start]        head->last_start = lw->now$SINCE_EPOCH;
[head.last_start]    }
[head.request]    head->request = first->number;
[head.arrival]    head->arrival = first->arrival$SINCE_EPOCH;
[head.deadline]    head->deadline = first->deadline$SINCE_EPOCH;
[head.batch]    head->batch = ($BATCH_TYPE)size;
    head->profile = ($PROFILE_TYPE)profile;
    head->rows_left = @rows[profile];
    head->place = @first_row[profile];
[head.left_compute_cycles]    head->left_compute_cycles = @model_compute_cycles[profile];
[head.left_fetch_cycles]    head->left_fetch_cycles = @model_fetch_cycles[profile];
    load_row(head);
[head.latest_start]    head->urgent = first->deadline < LW_NEVER;
[head.latest_start]    head->latest_start = (head->urgent ? first->deadline - (int64_t)@remaining_cycles[head->place] : LW_NEVER)$SINCE_EPOCH;
    set_ready(lw, index, 1);
    change = changes_at(head, index);
    lw->wake = change < lw->wake ? change : lw->wake;
}

/* Form the heads that arrivals or time have changed. */
static void form_heads(lw_scheduler *lw)
{
    lw->wake = LW_NEVER;
    for (int32_t index = 0; index < LW_TENANTS; index++) {
        lw_head *head = &lw->heads[index];
        if (!head->started && (head->changed || head->rows_left > 0)) {
            int64_t change = head->changed ? 0 : changes_at(head, index);
            if (change <= lw->now) {
                form_head(lw, index);
            } else {
                lw->wake = change < lw->wake ? change : lw->wake;
            }
        }
    }
}

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
    lw->wake = LW_NEVER;
[head.tenant]    for (int32_t index = 0; index < LW_TENANTS; index++) {
[head.tenant]        lw->heads[index].tenant = (lw_tenant)index;
[head.tenant]    }
}

int lw_arrive(lw_scheduler *lw, int32_t tenant, lw_request *request)
{
    lw_head *head = &lw->heads[tenant];
[head.arrived]    head->arrived++;
[head.newest]    head->newest = request->arrival$SINCE_EPOCH;
[limited]    if ((int64_t)head->queued >= (int64_t)@queue_limit[tenant]) {
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
    if (!head->started) {
        head->changed = 1;
        lw->wake = 0;
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

/* Count positions in the list of fetches from low numbers again; what they say modulo LW_RING stays. */
static void restart_positions(lw_scheduler *lw)
{
    lw_machine *machine = &lw->machine;
    int32_t rounds = machine->first & ~LW_MASK;
    machine->first -= rounds;
    machine->last -= rounds;
[machine.room_scaled]    forget_room(lw);
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
    choice->fetch_start = ${EPOCH}lw->machine.start;
    choice->fetch_end = ${EPOCH}fetch_end;
    choice->compute_end = ${EPOCH}compute_end;
    head->started = 1;
[head.last_start]    head->last_start = lw->machine.start;
    policy_append_fetch(lw, $HEAD_WEIGHT, compute_end);
    lw->machine.fetch_end = fetch_end;
    lw->machine.compute_end = compute_end;
[ahead]    lw->recent[lw->recent_at] = fetch_end;
[ahead]    lw->recent_at = lw->recent_at < $AHEAD ? lw->recent_at + 1 : 0;
[near]    if (lw->machine.appended_scaled > LW_MOST_COUNTED) {
[!near]    if (lw->machine.appended_scaled > LW_MOST_COUNTED || compute_end - lw->machine.origin > 2 * $REACH) {
        policy_rebase(lw, lw->machine.start);
[machine.room_scaled]        forget_room(lw);
    }
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
[head.latest_start]        if (head->urgent) {
[head.latest_start]            head->latest_start += @remaining_cycles[head->place - 1];
[head.latest_start]            head->latest_start -= @remaining_cycles[head->place];
[head.latest_start]        }
    }
}

int32_t lw_decide(lw_scheduler *lw, int64_t now, lw_choice *choice)
{
    lw->now = now;
[near]    if (now - lw->epoch > LW_NEAR / 4) {
[near]        move_epoch(lw);
[near]    }
[machine.now]    lw->machine.now = ($TIME)(now$SINCE_EPOCH);
    for (;;) {
        int32_t index;
        if (lw->wake <= now) {
            form_heads(lw);
        }
        if (lw->machine.ready_count == 0) {
            return hold(choice, LW_NEVER);
        }
        lw->machine.start = ($TIME)(now$SINCE_EPOCH + $DECISION_CYCLES);
        if (lw->machine.fetch_end > lw->machine.start) {
            lw->machine.start = lw->machine.fetch_end;
        }
        policy_release(lw);
[machine.room_scaled]        lw->room_known = 0;
        if (lw->machine.last - lw->machine.first > LW_MASK) {
            return hold(choice, ${EPOCH}lw->fetches[lw->machine.first & LW_MASK].done);
        }
[machine.longest_fetch_cycles]        if (lw->reformed) {
[machine.longest_fetch_cycles]            note_longest_fetch(lw);
[machine.longest_fetch_cycles]        }
[machine.mode]        lw->machine.mode = 0;
        lw->machine.hold_until = LW_NEVER;
        index = $DECIDE;
        if (index == LW_HOLD) {
            int64_t until;
[gives_up]            form_heads(lw); /* of heads that began since, nothing changes by itself any more */
            until = lw->machine.hold_until < lw->wake ? lw->machine.hold_until : lw->wake;
            if (${EPOCH}lw->machine.compute_end > now && ${EPOCH}lw->machine.compute_end < until) {
                until = ${EPOCH}lw->machine.compute_end;
            }
            return hold(choice, until);
        }
        if (index < 0 || index >= LW_TENANTS || lw->heads[index].rows_left == 0) {
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
    for (int32_t at = lw->machine.first; at < lw->machine.last; at++) {
        lw_fetch *entry = &lw->fetches[at & LW_MASK];
        if (${EPOCH}entry->done >= expected) {
            entry->done += ($TIME)later;
        }
    }
    lw->machine.compute_end += ($TIME)later;
[machine.room_scaled]    forget_room(lw);
}
[drops]
[drops]lw_request *lw_dropped(lw_scheduler *lw)
[drops]{
[drops]    lw_request *dropped = lw->dropped;
[drops]    lw->dropped = 0;
[drops]    return dropped;
[drops]}
