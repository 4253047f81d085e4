title    Selftest migration: pages move while everybody uses them
about    tools/testing/selftests/mm/migration.c: processes read and write pages as hard as they can while these are
about    moved to and fro. Whatever the interleaving, nobody crashes, and nobody reads anything but what was
about    written. Step with s, and choose with :task who goes on.
kernels  v6.18
config   memory=16M

# private_anon: the page is shared after a fork; one process writes and gets its copy, one reads.
A: p = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 7, 2p)
A: B = fork()
race {
  A: store(p, 8)
  A: load(p+1p) = 7
  B: load(p) = 7
  B: store(p+1p, 9)
  kcompactd: migrate(B, p)
  kcompactd: migrate(B, p+1p)
}
A: load(p) = 8
A: load(p+1p) = 7
B: load(p) = 7
B: load(p+1p) = 9
B: exit(0)

# private_anon with threads: two of them in one address space.
A: T = clone(CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD)
race {
  A: store(p, 1)
  A: load(p) = 1
  T: store(p+1p, 2)
  T: load(p+1p) = 2
  kcompactd: migrate(A, p)
  kcompactd: migrate(A, p+1p)
}
A: load(p) = 1
A: load(p+1p) = 2
T: exit(0)

# shared_anon: both see what either writes.
A: s = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
A: store(s, 3)
A: D = fork()
D: load(s) = 3
race {
  A: store(s, 4)
  D: load(s+1)
  kcompactd: migrate(A, s)
}
D: load(s) = 4
expect page(A, s) == page(D, s) && mappings(page(A, s)) == mapcount(page(A, s))
