title    Selftest guard-regions: pages that must not be touched, without VMAs
about    Cases of tools/testing/selftests/mm/guard-regions.c. MADV_GUARD_INSTALL writes a marker where the page-table
about    entry would be: an access is a SIGSEGV, and no VMA is split. The marker goes where an entry would.
kernels  v6.18
config   memory=16M

A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 10p)

# basic: in a single page and back; what was there is gone.
A: madvise(p, 1p, MADV_GUARD_INSTALL)
A: load(p) = SIGSEGV
A: store(p, 1) = SIGSEGV
expect vmas(A) == 1
A: madvise(p, 1p, MADV_GUARD_REMOVE)
A: load(p) = 0
A: store(p, 1)

# mprotect: neither changing nor restoring the protection takes them away.
A: madvise(p+2p, 2p, MADV_GUARD_INSTALL)
A: mprotect(p, 10p, PROT_READ)
A: load(p+2p) = SIGSEGV
A: mprotect(p, 10p, PROT_READ|PROT_WRITE)
A: store(p+3p, 1) = SIGSEGV

# split_merge: nor does splitting the VMA around them, or merging it again.
A: mprotect(p+3p, 2p, PROT_READ)
expect vmas(A) == 3
A: load(p+2p) = SIGSEGV
A: load(p+3p) = SIGSEGV
A: load(p+4p) = 1
A: mprotect(p+3p, 2p, PROT_READ|PROT_WRITE)
expect vmas(A) == 1
A: load(p+3p) = SIGSEGV

# dontneed: it drops the pages and leaves the markers.
A: madvise(p, 10p, MADV_DONTNEED)
A: load(p+1p) = 0
A: load(p+2p) = SIGSEGV
A: load(p+3p) = SIGSEGV

# mremap_move: they go along. mremap_expand and mremap_shrink: they stay at their pages.
A: q = mremap(p, 10p, 10p, MREMAP_MAYMOVE|MREMAP_FIXED, p+100p)
A: load(q+2p) = SIGSEGV
A: load(q+4p) = 0
A: mremap(q, 10p, 12p, MREMAP_MAYMOVE) = q
A: load(q+3p) = SIGSEGV
A: load(q+11p) = 0
A: mremap(q, 12p, 3p, MREMAP_MAYMOVE) = q
A: load(q+2p) = SIGSEGV
A: mremap(q, 3p, 5p, MREMAP_MAYMOVE) = q
# The page at 3 was unmapped with its marker, and is a new one.
A: load(q+3p) = 0

# fork: the child has them, too, and the two are independent.
A: B = fork()
B: load(q+2p) = SIGSEGV
B: madvise(q, 5p, MADV_GUARD_REMOVE)
B: load(q+2p) = 0
A: load(q+2p) = SIGSEGV
B: exit(0)

# fork_cow: markers beside pages that fork shares.
A: store(q, 7)
A: store(q+4p, 7)
A: D = fork()
D: store(q, 9)
A: load(q) = 7
D: load(q+2p) = SIGSEGV
A: load(q+2p) = SIGSEGV
D: load(q+4p) = 7
D: exit(0)

# fork_wipeonfork: a child that is to find zeros finds zeros, and no markers.
A: madvise(q, 5p, MADV_WIPEONFORK)
A: E = fork()
E: load(q) = 0
E: load(q+2p) = 0
A: load(q+2p) = SIGSEGV
E: exit(0)

# What cannot be guarded: memory that is locked.
A: m = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: mlock(m, 2p)
A: madvise(m, 2p, MADV_GUARD_INSTALL) = -1 EINVAL
A: munlock(m, 2p)
A: madvise(m, 2p, MADV_GUARD_INSTALL)
A: load(m) = SIGSEGV
