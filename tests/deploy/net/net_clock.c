/* A clock that is off, for every program that is loaded with this library: the machine's own clock
   is not touched. PRIVAUDIT_TEST_CLOCK: seconds. Times of files stay the kernel's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long off(void) {
    static long value; static int known;
    if (!known) { const char *text = getenv("PRIVAUDIT_TEST_CLOCK"); value = text ? atol(text) : 0; known = 1; }
    return value;
}
static int real(clockid_t c) { return c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE; }
int clock_gettime(clockid_t c, struct timespec *t) {
    int rc = (int)syscall(SYS_clock_gettime, c, t);
    if (rc == 0 && real(c)) t->tv_sec += off();
    return rc;
}
int gettimeofday(struct timeval *restrict t, void *restrict z) {
    struct timespec s; (void)z;
    if (clock_gettime(CLOCK_REALTIME, &s)) return -1;
    if (t) { t->tv_sec = s.tv_sec; t->tv_usec = s.tv_nsec / 1000; }
    return 0;
}
time_t time(time_t *t) {
    struct timespec s; clock_gettime(CLOCK_REALTIME, &s);
    if (t) *t = s.tv_sec;
    return s.tv_sec;
}
/* Waits until a moment of the shifted clock are waits until one of the kernel's. */
static const struct timespec *back(const struct timespec *t, struct timespec *own) {
    if (!t) return t;
    *own = *t; own->tv_sec -= off(); if (own->tv_sec < 0) own->tv_sec = 0;
    return own;
}
#include <pthread.h>
#include <semaphore.h>
int sem_timedwait(sem_t *restrict s, const struct timespec *restrict t) {
    static int (*next)(sem_t *, const struct timespec *);
    struct timespec own;
    if (!next) next = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
    return next(s, back(t, &own));
}
int sem_clockwait(sem_t *restrict s, clockid_t c, const struct timespec *restrict t) {
    static int (*next)(sem_t *, clockid_t, const struct timespec *);
    struct timespec own;
    if (!next) next = (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT, "sem_clockwait");
    return next(s, c, c == CLOCK_REALTIME ? back(t, &own) : t);
}
int pthread_cond_clockwait(pthread_cond_t *restrict v, pthread_mutex_t *restrict m, clockid_t c, const struct timespec *restrict t) {
    static int (*next)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    struct timespec own;
    if (!next) next = (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    return next(v, m, c, c == CLOCK_REALTIME ? back(t, &own) : t);
}
