/* An allocator for fuzzing: each aligned block, which is what torch's tensors are, ends where a page ends that
   nobody may touch, and begins after another. Memory that was freed may not be touched either.

   What was not written is `guard_fill`, which a program may change between two calls that should give the same.

   Preloaded (LD_PRELOAD). What is freed is not used again; a process has BLOCKS * 4 KiB of addresses for it,
   then plain memory serves. A block of LARGEST bytes or more is refused, as by a small machine. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define ARENA ((size_t)1 << 38)
#define LARGEST ((size_t)1 << 29)

extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

unsigned char guard_fill = 0xa5;

static char *arena, *next_page;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Before each block, at the begin of its first page: how many pages it has, how many bytes were asked, and what
   they were filled with. */
struct header { size_t pages, bytes; unsigned char fill; };

static char *first_page_of(char *block) {
    return (char *)((size_t)block & ~(PAGE - 1)) - PAGE;
}

int posix_memalign(void **result, size_t alignment, size_t bytes) {
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    size_t pages = (rounded + PAGE - 1) / PAGE;
    if (bytes >= LARGEST) return ENOMEM;
    if (alignment > PAGE) { *result = __libc_memalign(alignment, bytes); return *result ? 0 : ENOMEM; }
    pthread_mutex_lock(&lock);
    if (!arena) {
        arena = mmap(0, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (arena == MAP_FAILED) arena = 0; else next_page = arena + PAGE;
    }
    char *first = 0;
    if (arena && (size_t)(next_page - arena) + (pages + 2) * PAGE < ARENA) {
        first = next_page;
        next_page += (pages + 2) * PAGE;
    }
    pthread_mutex_unlock(&lock);
    /* The header's page, the block, and one that stays closed. */
    if (!first || mprotect(first, (pages + 1) * PAGE, PROT_READ | PROT_WRITE)) {
        *result = __libc_memalign(alignment, bytes);
        return *result ? 0 : ENOMEM;
    }
    *(struct header *)first = (struct header){pages, bytes, guard_fill};
    mprotect(first, PAGE, PROT_NONE);
    char *block = first + (pages + 1) * PAGE - rounded;
    memset(first + PAGE, guard_fill, pages * PAGE);
    *result = block;
    return 0;
}

void free(void *given) {
    char *block = given;
    if (!arena || block < arena || block >= arena + ARENA) { __libc_free(given); return; }
    char *first = first_page_of(block);
    mprotect(first, PAGE, PROT_READ);
    struct header found = *(struct header *)first;
    char *end = first + (found.pages + 1) * PAGE;
    for (char *at = block + found.bytes; at < end; at++)
        if (*(unsigned char *)at != found.fill) abort();
    for (char *at = first + PAGE; at < block; at++)
        if (*(unsigned char *)at != found.fill) abort();
    mprotect(first, (found.pages + 1) * PAGE, PROT_NONE);
    madvise(first, (found.pages + 1) * PAGE, MADV_DONTNEED);
}
