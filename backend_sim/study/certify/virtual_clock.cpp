// A virtual clock for the thread that asks for one. Preloaded, these definitions of
// std::chrono::system_clock::now() and nanosleep() are the ones that LoadGen, unmodified, links to.
// All other threads keep real time.
#include <time.h>

#include <chrono>
#include <cstdint>

namespace {
thread_local bool is_virtual = false;
thread_local std::int64_t now_ns = 0;
}  // namespace

extern "C" {
void layerweaver_clock_start(std::int64_t ns) {
  is_virtual = true;
  now_ns = ns;
}
void layerweaver_clock_set(std::int64_t ns) { now_ns = ns; }
std::int64_t layerweaver_clock_get() { return now_ns; }
void layerweaver_clock_stop() { is_virtual = false; }

int nanosleep(const struct timespec* request, struct timespec* remain) {
  if (!is_virtual) return clock_nanosleep(CLOCK_REALTIME, 0, request, remain) == 0 ? 0 : -1;
  now_ns += static_cast<std::int64_t>(request->tv_sec) * 1000000000 + request->tv_nsec;
  return 0;
}
}

namespace std {
namespace chrono {
inline namespace _V2 {
system_clock::time_point system_clock::now() noexcept {
  std::int64_t ns = now_ns;
  if (!is_virtual) {
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    ns = static_cast<std::int64_t>(real.tv_sec) * 1000000000 + real.tv_nsec;
  }
  return time_point(duration(std::chrono::nanoseconds(ns)));
}
}  // namespace _V2
}  // namespace chrono
}  // namespace std
