title    Selftest cow: nobody sees another's writes
about    The basic cases of tools/testing/selftests/mm/cow.c with base pages: after a fork a private page is
about    shared, and whoever writes gets a copy; not one way must lead to a writable entry of a shared page.
about    Its cases with pipes, io_uring and pinned pages need what is not simulated.
kernels  v6.18
config   memory=16M swap=4M

# Basic COW after fork: the parent writes, the child must not see it.
A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 1p)
A: B = fork()
A: store(p, 2)
B: load(p) = 1
expect page(A, p) != page(B, p)
# Nobody shares the child's page any more: its write takes it over.
B: store(p, 3)
expect mapcount(page(B, p)) == 1 && pte(B, p).write
B: exit(0)

# The same, and the protection goes to read-only and back in between: mprotect may make entries writable at
# once, where the page belongs to the process alone (can_change_pte_writable); here it must not.
A: D = fork()
A: mprotect(p, 1p, PROT_READ)
A: mprotect(p, 1p, PROT_READ|PROT_WRITE)
expect !pte(A, p).write
A: store(p, 4)
D: load(p) = 2
D: exit(0)

# The child is gone: now mprotect need not wait for a fault. The page is marked exclusive since the write.
A: mprotect(p, 1p, PROT_READ)
A: mprotect(p, 1p, PROT_READ|PROT_WRITE)
expect pte(A, p).write

# The child writes, the parent must not see that either.
A: E = fork()
E: store(p, 5)
A: load(p) = 4
E: exit(0)

# From swap: both have an entry for the same slot, and share the page again when it is back.
A: F = fork()
# Reclaim gives a page that was used a second chance.
kswapd: reclaim(A, p)
kswapd: reclaim(A, p)
expect page(A, p) == NULL && page(F, p) == NULL
F: load(p) = 4
A: store(p, 6)
F: load(p) = 4
F: store(p, 7)
A: load(p) = 6
F: exit(0)

# After a migration: what is shared stays write-protected.
A: G = fork()
kcompactd: migrate(A, p)
expect page(A, p) == page(G, p) && !pte(A, p).write && !pte(G, p).write
A: store(p, 8)
G: load(p) = 6
G: exit(0)
A: munmap(p, 1p)

# The zero page, read and then written, in two private mappings.
A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: q = mmap(NULL, 1p, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: load(p) = 0
A: load(q) = 0
A: store(p, 1)
A: load(q) = 0
A: munmap(p, 1p)
A: munmap(q, 1p)

# A memfd and a file, mapped privately for writing and shared for reading.
A: mfd = memfd_create("test", 0)
A: ftruncate(mfd, 1p)
A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE, mfd, 0)
A: q = mmap(NULL, 1p, PROT_READ, MAP_SHARED, mfd, 0)
A: load(p) = 0
A: load(q) = 0
expect page(A, p) == page(A, q)
A: store(p, 1)
A: load(q) = 0
A: munmap(p, 1p)
A: munmap(q, 1p)
A: tfd = open("/tmp/cow", O_RDWR|O_CREAT, 0600)
A: ftruncate(tfd, 1p)
A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE, tfd, 0)
A: q = mmap(NULL, 1p, PROT_READ, MAP_SHARED, tfd, 0)
A: store(p, 1)
A: load(q) = 0
expect byte(A, p) == 1
