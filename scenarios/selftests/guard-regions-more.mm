title    Selftest guard-regions: several VMAs at once, advice, files
about    Cases of tools/testing/selftests/mm/guard-regions.c beyond guard-regions.mm: markers over holes and in several
about    ranges, with advice that faults pages in or takes them away, and in mappings of files.
kernels  v6.18
config   memory=16M

A: r = mmap(NULL, 100p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)

# process_madvise: the first and last page of three VMAs in one call, there and back.
A: mmap(r+1p, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(r+50p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(r+79p, 20p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: munmap(r, 1p)
A: munmap(r+11p, 39p)
A: munmap(r+55p, 24p)
A: munmap(r+99p, 1p)
A: process_madvise(PIDFD_SELF, [{r+1p, 1p}, {r+10p, 1p}, {r+50p, 1p}, {r+54p, 1p}, {r+79p, 1p}, {r+98p, 1p}], 6, MADV_GUARD_INSTALL, 0) = 6p
A: store(r+1p, 1) = SIGSEGV
A: store(r+2p, 1)
A: store(r+10p, 1) = SIGSEGV
A: store(r+50p, 1) = SIGSEGV
A: store(r+54p, 1) = SIGSEGV
A: store(r+79p, 1) = SIGSEGV
A: store(r+98p, 1) = SIGSEGV
A: process_madvise(PIDFD_SELF, [{r+1p, 1p}, {r+10p, 1p}, {r+50p, 1p}, {r+54p, 1p}, {r+79p, 1p}, {r+98p, 1p}], 6, MADV_GUARD_REMOVE, 0) = 6p
A: store(r+1p, 1)
A: store(r+10p, 1)
A: store(r+50p, 1)
A: store(r+54p, 1)
A: store(r+79p, 1)
A: store(r+98p, 1)

# Another process may not be guarded.
A: B = fork()
A: process_madvise(B, [{r+1p, 1p}], 1, MADV_GUARD_INSTALL, 0) = -1 EINVAL
B: load(r+1p) = 1
B: exit(0)

# multi_vma: over holes the call fails in the end, and each VMA is guarded all the same.
A: madvise(r, 100p, MADV_GUARD_INSTALL) = -1 ENOMEM
A: load(r+1p) = SIGSEGV
A: load(r+10p) = SIGSEGV
A: load(r+52p) = SIGSEGV
A: load(r+98p) = SIGSEGV
A: madvise(r, 100p, MADV_GUARD_REMOVE) = -1 ENOMEM
A: load(r+1p) = 0
A: load(r+10p) = 0
A: load(r+52p) = 0
A: load(r+98p) = 0
A: munmap(r, 100p)

# lazyfree: MADV_FREE before, and after, when it finds nothing to free.
A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 10p)
A: madvise(p, 10p, MADV_FREE)
A: madvise(p, 10p, MADV_GUARD_INSTALL)
A: load(p) = SIGSEGV
A: madvise(p, 10p, MADV_FREE)
A: load(p+9p) = SIGSEGV

# populate: no page can be faulted in.
A: madvise(p, 10p, MADV_POPULATE_READ) = -1 EFAULT
A: madvise(p, 10p, MADV_POPULATE_WRITE) = -1 EFAULT
A: madvise(p, 10p, MADV_GUARD_REMOVE)
A: madvise(p, 10p, MADV_POPULATE_READ)
A: madvise(p, 10p, MADV_POPULATE_WRITE)
A: madvise(p, 10p, MADV_GUARD_INSTALL)
A: madvise(p, 10p, MADV_POPULATE_READ) = -1 EFAULT
A: madvise(p, 10p, MADV_POPULATE_WRITE) = -1 EFAULT

# cold, pageout: they pass the markers over.
A: madvise(p, 10p, MADV_COLD)
A: load(p) = SIGSEGV
A: madvise(p, 10p, MADV_PAGEOUT)
A: load(p+5p) = SIGSEGV
A: munmap(p, 10p)

# anon_zeropage: markers take the place of the zero page.
A: z = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: load(z, 10p) = 0
A: madvise(z+1p, 1p, MADV_GUARD_INSTALL)
A: madvise(z+3p, 1p, MADV_GUARD_INSTALL)
A: load(z+1p) = SIGSEGV
A: load(z+2p) = 0
A: load(z+3p) = SIGSEGV
A: madvise(z, 10p, MADV_GUARD_REMOVE)
A: load(z, 10p) = 0
A: munmap(z, 10p)

# hole_punch: the file loses its pages, the mapping keeps its markers.
A: f = memfd_create("guard", 0)
A: ftruncate(f, 10p)
A: s = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
A: store(s, 7, 10p)
A: madvise(s+3p, 4p, MADV_GUARD_INSTALL)
A: madvise(s+3p, 4p, MADV_REMOVE)
A: load(s+2p) = 7
A: load(s+3p) = SIGSEGV
A: load(s+6p) = SIGSEGV
A: load(s+7p) = 7
A: madvise(s+3p, 4p, MADV_GUARD_REMOVE)
A: load(s+3p, 4p) = 0
A: load(s+2p) = 7
A: load(s+7p) = 7

# truncation: markers stay below and above the new end; what is beyond it and has none is a SIGBUS.
A: store(s, 7, 10p)
A: madvise(s+2p, 1p, MADV_GUARD_INSTALL)
A: madvise(s+7p, 1p, MADV_GUARD_INSTALL)
A: ftruncate(f, 5p)
A: load(s+1p) = 7
A: load(s+2p) = SIGSEGV
A: load(s+6p) = SIGBUS
A: load(s+7p) = SIGSEGV
A: ftruncate(f, 10p)
A: load(s+6p) = 0
A: load(s+7p) = SIGSEGV
A: madvise(s, 10p, MADV_GUARD_REMOVE)
A: load(s+2p) = 7
A: load(s+7p) = 0

# map_private: each mapping of a file has its own.
A: t = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
A: madvise(s, 1p, MADV_GUARD_INSTALL)
A: madvise(t+1p, 1p, MADV_GUARD_INSTALL)
A: load(s) = SIGSEGV
A: load(t) = 7
A: load(s+1p) = 7
A: load(t+1p) = SIGSEGV
A: store(t, 9)
A: madvise(s, 1p, MADV_GUARD_REMOVE)
A: load(s) = 7
A: munmap(s, 10p)
A: munmap(t, 10p)

# readonly_file, fault_around: a read beside a marker leaves it where it is.
A: o = open("/file", O_RDONLY)
A: q = mmap(NULL, 10p, PROT_READ, MAP_SHARED, o, 0)
A: load(q, 10p) = 0
A: madvise(q, 10p, MADV_GUARD_INSTALL)
A: load(q) = SIGSEGV
A: load(q+9p) = SIGSEGV
A: madvise(q, 2p, MADV_GUARD_REMOVE)
A: madvise(q+3p, 1p, MADV_GUARD_REMOVE)
A: load(q) = 0
A: load(q+3p) = 0
A: load(q+2p) = SIGSEGV
A: load(q+4p) = SIGSEGV

# The markers are in the entries alone: one VMA.
expect vma(A, q).vm_end == q + 10p
