title    Selftest migration: a huge page moves while everybody uses it
about    The case private_anon_thp of tools/testing/selftests/mm/migration.c: processes read and write a huge page while it
about    is moved. Whatever the interleaving, nobody reads anything but what was written.
kernels  v6.18
config   memory=32M

# Mapped by one entry: that becomes a migration entry as a whole, and comes back as a whole.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 7, 3p)
race {
  A: store(p, 8)
  A: load(p+1p) = 7
  kcompactd: migrate(A, p+2p)
}
A: load(p) = 8
A: load(p+2p) = 7
expect page(A, p).entire_mapcount == 1 && page(A, p).large_mapcount == 1
A: C = fork()
race {
  A: load(p) = 8
  C: load(p+1p) = 7
  kcompactd: migrate(C, p+2p)
}
expect page(A, p).entire_mapcount == 2 && page(C, p) == page(A, p)
race {
  C: exit(0)
  kcompactd: migrate(A, p+2p)
}
A: store(p, 7)
expect page(A, p).entire_mapcount == 1

# Mapped page by page: a change of protection has split the entry, not the page.
A: mprotect(p+511p, 1p, PROT_READ)
A: B = fork()
race {
  A: store(p, 8)
  A: load(p+1p) = 7
  B: load(p) = 7
  B: store(p+1p, 9)
  kcompactd: migrate(B, p+2p)
}
A: load(p) = 8
A: load(p+1p) = 7
B: load(p) = 7
B: load(p+1p) = 9
A: load(p+2p) = 7
expect page(A, p+2p).order == 9 && page(B, p+2p) == page(A, p+2p)
B: exit(0)

# With two threads, of whom one takes a part away.
A: T = clone(CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD)
race {
  A: store(p+2p, 1)
  A: load(p+2p) = 1
  T: munmap(p+256p, 16p)
  kcompactd: migrate(A, p+2p)
}
A: load(p+2p) = 1
A: load(p) = 8
A: load(p+256p) = SIGSEGV
T: exit(0)

# Split on the way: a huge page of which a part is unmapped moves page by page.
kernel: migrate(A, p+2p)
A: load(p+2p) = 1
A: load(p) = 8
