title    Selftest merge: mprotect joins what fork has not touched
about    The cases mprotect_* of tools/testing/selftests/mm/merge.c. A VMA is faulted once it has an anon_vma,
about    that is, from its first write on. A faulted and an unfaulted VMA merge, on either side: the
about    unfaulted part takes the anon_vma over (dup_anon_vma). Stop there: :break dup_anon_vma
kernels  v6.18
config   memory=16M

# Every case works in 30 pages that nothing may use, and maps over them. MAP_NORESERVE keeps VM_ACCOUNT out of
# the matter: an unfaulted VMA loses that flag with its write permission, a faulted one does not, and
# VMAs that differ in it never merge.
A: c = mmap(NULL, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)

# mprotect_unfaulted_left: read-only and unfaulted on the left, writable and faulted on the right.
A: mmap(c+1p, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: mprotect(c+1p, 5p, PROT_READ)
A: store(c+6p, 1)
expect anon_vma(A, c+1p) == NULL && anon_vma(A, c+6p) != NULL
A: mprotect(c+6p, 5p, PROT_READ)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p
expect anon_vma(A, c+1p) == anon_vma(page(A, c+6p)) && avcs(A, c+1p) == 1

# mprotect_unfaulted_right: the same, mirrored.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: mprotect(c+6p, 5p, PROT_READ)
A: store(c+1p, 1)
A: mprotect(c+1p, 5p, PROT_READ)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p
expect anon_vma(A, c+6p) == anon_vma(page(A, c+1p))

# mprotect_unfaulted_both: the middle one is faulted and joins both sides.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+2p, 9p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: mprotect(c+2p, 3p, PROT_READ)
A: mprotect(c+8p, 3p, PROT_READ)
A: store(c+5p, 1)
A: mprotect(c+5p, 3p, PROT_READ)
expect vma(A, c+2p).start == c+2p && vma(A, c+2p).end == c+11p
expect avcs(A, c+2p) == 1 && anon_vma(A, c+2p).num_active_vmas == 1

# mprotect_faulted_left_unfaulted_right: left and middle were one, so they share an anon_vma.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+2p, 9p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: mprotect(c+8p, 3p, PROT_READ)
A: store(c+2p, 1)
A: mprotect(c+2p, 3p, PROT_READ)
expect anon_vma(A, c+2p) == anon_vma(A, c+5p) && anon_vma(A, c+8p) == NULL
A: mprotect(c+5p, 3p, PROT_READ)
expect vma(A, c+2p).start == c+2p && vma(A, c+2p).end == c+11p

# mprotect_unfaulted_left_faulted_right
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+2p, 9p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: mprotect(c+2p, 3p, PROT_READ)
A: store(c+5p, 1)
A: mprotect(c+8p, 3p, PROT_READ)
expect anon_vma(A, c+2p) == NULL && anon_vma(A, c+5p) == anon_vma(A, c+8p)
A: mprotect(c+5p, 3p, PROT_READ)
expect vma(A, c+2p).start == c+2p && vma(A, c+2p).end == c+11p
expect avcs(A, c+2p) == 1 && anon_vma(A, c+2p).num_active_vmas == 1
