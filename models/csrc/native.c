/* What the library is, and what it can use of this processor. native.py asks. */

#include "native.h"

/* What native.py must have been written for. */
int lockstep_abi(void) {
    const unsigned sizes[] = {sizeof(struct batch), sizeof(struct encoder), sizeof(struct block),
                              sizeof(struct layer), sizeof(struct ragged)};
    unsigned abi = VERSION;
    for (int i = 0; i < 5; i++)
        abi = (abi * 31 + sizes[i]) & 0x7fffffff;
    return (int)abi;
}

#ifdef LOCKSTEP_X86

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static int leaf_seven(unsigned subleaf, unsigned *eax, unsigned *edx) {
    unsigned ebx, ecx;
    return __get_cpuid_count(7, subleaf, eax, &ebx, &ecx, edx);
}

int lockstep_way(void) {
    unsigned tiles, newer, unused;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
        !leaf_seven(0, &unused, &tiles) || !leaf_seven(1, &newer, &unused) ||
        !(newer >> 5 & 1)) /* AVX512-BF16 */
        return NONE;
    /* AMX-BF16 and AMX-TILE; Linux hands a process the tiles' 8 KB (18) when asked (0x1023). */
    if ((tiles >> 22 & 1) && (tiles >> 24 & 1) && __builtin_cpu_supports("avx512vbmi") &&
        syscall(SYS_arch_prctl, 0x1023, 18) == 0)
        return TILES;
    return VECTORS;
}

/* Whether all but a recurrence's steps can be run as well: attention looks up its weights by bytes, and
 * what is compiled with it may. */
int lockstep_encodes(void) { return lockstep_way() != NONE && __builtin_cpu_supports("avx512vbmi"); }

#else

int lockstep_way(void) { return NONE; }

int lockstep_encodes(void) { return 0; }

#endif
