/*
 * Drives the scheduler over the two timelines of the tables: reads what "layerweaver traffic" prints and writes
 * decided_at_cycles,tenant,request,row of every decision, as "layerweaver simulate --log" does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lw_sched.h"

#define GIGA INT64_C(1000000000)
#define CLOCK_HZ INT64_C($CLOCK_HZ)

static const char *const names[LW_TENANTS] = {$NAMES};
static const int64_t deadline_ns[LW_TENANTS] = {$DEADLINES}; /* -1: none */

typedef struct {
    lw_request request;
    int64_t time_ns;
    int32_t tenant;
} arrival;

static int64_t cycles_up(int64_t time_ns)
{
    return time_ns / GIGA * CLOCK_HZ + (time_ns % GIGA * CLOCK_HZ + (GIGA - 1)) / GIGA;
}

static int64_t cycles_down(int64_t time_ns)
{
    return time_ns / GIGA * CLOCK_HZ + time_ns % GIGA * CLOCK_HZ / GIGA;
}

static int in_order(const void *left, const void *right)
{
    const arrival *a = left, *b = right;
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    if (a->tenant != b->tenant) {
        return a->tenant < b->tenant ? -1 : 1;
    }
    return a->request.number < b->request.number ? -1 : a->request.number > b->request.number;
}

static void fail(const char *file, long line, const char *what)
{
    fprintf(stderr, "%s line %ld: %s\n", file, line, what);
    exit(2);
}

static int32_t tenant_of(const char *name, size_t length)
{
    for (int32_t index = 0; index < LW_TENANTS; index++) {
        if (strlen(names[index]) == length && strncmp(names[index], name, length) == 0) {
            return index;
        }
    }
    return -1;
}

/* A line "tenant,query,arrival_ns"; the name may hold commas, so the two numbers are found from the end. */
static void parse(const char *file, long number, char *line, arrival *into)
{
    char *time_text = strrchr(line, ','), *query_text, *end;
    if (time_text == 0) {
        fail(file, number, "not tenant,query,arrival_ns");
    }
    *time_text++ = 0;
    query_text = strrchr(line, ',');
    if (query_text == 0) {
        fail(file, number, "not tenant,query,arrival_ns");
    }
    *query_text++ = 0;
    into->tenant = tenant_of(line, strlen(line));
    if (into->tenant < 0) {
        fail(file, number, "no such tenant");
    }
    into->request.number = (uint32_t)strtoul(query_text, &end, 10);
    if (end == query_text || *end != 0) {
        fail(file, number, "query is no number");
    }
    into->time_ns = (int64_t)strtoll(time_text, &end, 10);
    if (end == time_text || *end != 0 || into->time_ns < 0 || into->time_ns > INT64_C(9000000000000000)) {
        fail(file, number, "arrival_ns is no time");
    }
}

static arrival *read_arrivals(const char *file, size_t *count)
{
    FILE *stream = strcmp(file, "-") == 0 ? stdin : fopen(file, "r");
    static char line[65536];
    arrival *all = 0;
    size_t room = 0;
    long number = 0;
    *count = 0;
    if (stream == 0) {
        fprintf(stderr, "%s: cannot be read\n", file);
        exit(2);
    }
    while (fgets(line, (int)sizeof line, stream) != 0) {
        line[strcspn(line, "\r\n")] = 0;
        number++;
        if (line[0] == 0 || (number == 1 && strcmp(line, "tenant,query,arrival_ns") == 0)) {
            continue;
        }
        if (*count == room) {
            room = room == 0 ? 1024 : 2 * room;
            all = realloc(all, room * sizeof *all);
            if (all == 0) {
                fail(file, number, "too many arrivals for this machine's memory");
            }
        }
        parse(file, number, line, &all[(*count)++]);
    }
    if (stream != stdin) {
        fclose(stream);
    }
    return all;
}

int main(int argc, char **argv)
{
    static lw_scheduler lw;
    lw_choice choice;
    arrival *all;
    size_t count, next = 0;
    int64_t held_until = 0;
    long waited = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: %s arrivals.csv > decisions.csv (- reads standard input)\n", argv[0]);
        return 2;
    }
    all = read_arrivals(argv[1], &count);
    if (count > 0) {
        qsort(all, count, sizeof *all, in_order);
    }
    for (size_t k = 0; k < count; k++) {
        int64_t limit_ns = deadline_ns[all[k].tenant];
        all[k].request.arrival = cycles_up(all[k].time_ns);
        all[k].request.deadline = limit_ns < 0 ? LW_NEVER : cycles_down(all[k].time_ns + limit_ns);
    }
    lw_init(&lw);
    puts("decided_at_cycles,tenant,request,row");
    for (;;) {
        int64_t now = lw_next(&lw);
        int32_t tenant;
        now = held_until > now ? held_until : now;
        while (next < count && all[next].request.arrival <= now) {
            (void)lw_arrive(&lw, all[next].tenant, &all[next].request);
            next++;
        }
        tenant = lw_decide(&lw, now, &choice);
        if (tenant == LW_BAD) {
            fprintf(stderr, "at cycle %lld the policy chose a tenant without a request\n", (long long)now);
            return 1;
        }
        if (tenant == LW_HOLD) {
            waited += lw.machine.last - lw.machine.first > LW_MASK;
            held_until = choice.until;
            if (next < count && all[next].request.arrival < held_until) {
                held_until = all[next].request.arrival;
            }
            if (held_until == LW_NEVER) {
                break;
            }
            if (held_until <= now) {
                fprintf(stderr, "at cycle %lld the policy holds for ever\n", (long long)now);
                return 1;
            }
            continue;
        }
        held_until = 0;
        printf("%lld,%s,%lu,%ld\n", (long long)now, names[tenant], (unsigned long)choice.requests->number,
               (long)choice.row);
    }
    if (waited > 0) {
        fprintf(stderr, "%ld decisions waited for room in the list of fetches: compile with -DLW_RING=%ld\n", waited,
                2 * (long)LW_RING);
        return 1;
    }
    return 0;
}
