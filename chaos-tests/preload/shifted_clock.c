/* A clock that a test can set: loaded into a khod process before libc (LD_PRELOAD), it adds to the machine's time what stands in
 * the file that KHO_SHIFTED_CLOCK names, eight bytes, milliseconds, in the machine's byte order. The file is mapped, so a
 * change counts at once, while the process runs. Only the time of day is shifted: a monotonic clock is set by nobody. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_ms;

__attribute__((constructor)) static void find_shift(void) {
  const char *path = getenv("KHO_SHIFTED_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0)
    return;
  void *mapped = mmap(NULL, sizeof *shift_ms, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED)
    shift_ms = mapped;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result != 0 || !shift_ms || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
    return result;
  int64_t ms = *shift_ms;
  now->tv_sec += ms / 1000;
  now->tv_nsec += ms % 1000 * 1000000;
  if (now->tv_nsec < 0 || now->tv_nsec >= 1000000000) {
    int64_t over = now->tv_nsec < 0 ? -1 : 1;
    now->tv_sec += over;
    now->tv_nsec -= over * 1000000000;
  }
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int result = clock_gettime(CLOCK_REALTIME, &precise);
  if (result == 0 && now) {
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
  }
  return result;
}

time_t time(time_t *kept) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (kept)
    *kept = now.tv_sec;
  return now.tv_sec;
}
