title    Selftest ksm: equal pages become one, and several again
about    The KSM cases of tools/testing/selftests/mm: ksm_merge of merge.c, ksm and ksm_and_mremap of rmap.c, and
about    those of ksm_functional_tests.c that need no userfaultfd.
about    Watch the merging: :break try_to_merge_one_page, and the walk over its users: :break rmap_walk_ksm
kernels  v6.18
config   memory=16M

# ksm_merge: a process that asked for KSM everywhere gets VMAs that are alike, and they merge as before.
A: c = mmap(NULL, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: mmap(c+1p, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+2p, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+3p
A: munmap(c+2p, 1p)
A: prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) = 0
A: mmap(c+2p, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+3p
A: munmap(c+1p, 2p)
A: mmap(c+1p, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+2p, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+3p
A: munmap(c, 30p)

# rmap.c, ksm: a tree of processes, in which everyone maps a page of his own; the contents are equal.
# The children inherit that they want KSM.
A: B = fork()
A: C = fork()
B: D = fork()
D: E = fork()
A: a = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(a, 207, 1p)
B: b = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
B: store(b, 207, 1p)
C: c = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
C: store(c, 207, 1p)
D: d = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
D: store(d, 207, 1p)
E: e = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
E: store(e, 207, 1p)
expect page(A, a) != page(B, b) && page(B, b) != page(E, e)
ksmd: ksm_scan(3)
expect page(B, b) == page(A, a) && page(C, c) == page(A, a) && page(D, d) == page(A, a) && page(E, e) == page(A, a)
expect mapcount(page(A, a)) == 5 && mappings(page(A, a)) == 5
# It moves to another frame: the walk finds everybody through the items of the stable tree (rmap_walk_ksm).
A: settle()
D: migrate(D, d) = 0
expect page(B, b) == page(A, a) && page(C, c) == page(A, a) && page(D, d) == page(A, a) && page(E, e) == page(A, a)
expect mapcount(page(A, a)) == 5 && mappings(page(A, a)) == 5
# Who writes gets a page of his own.
C: store(c, 1)
expect page(C, c) != page(A, a) && mapcount(page(A, a)) == 4 && byte(A, a) == 207
E: exit(0)
C: exit(0)
D: exit(0)
B: exit(0)
A: munmap(a, 1p)
A: prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0) = 0

# rmap.c, ksm_and_mremap: pages that moved before they were merged are found where they are.
A: p = mmap(NULL, 32p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 119, 32p)
A: mremap(p+16p, 16p, 16p, MREMAP_MAYMOVE|MREMAP_FIXED, p) = p
A: madvise(p, 16p, MADV_MERGEABLE)
ksmd: ksm_scan(3)
expect mapcount(page(A, p)) == 16 && page(A, p+15p) == page(A, p)
A: settle()
A: migrate(A, p) = 0
expect mapcount(page(A, p)) == 16 && page(A, p+15p) == page(A, p) && byte(A, p+7p) == 119

# unmerge: every address has a page of its own again.
A: madvise(p, 16p, MADV_UNMERGEABLE)
expect mapcount(page(A, p)) == 1 && page(A, p) != page(A, p+1p) && page(A, p+14p) != page(A, p+15p)
expect rss(A) == 16
A: munmap(p, 16p)

# unmerge_discarded: half of the merged pages are dropped before.
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 207, 8p)
A: madvise(p, 8p, MADV_MERGEABLE)
ksmd: ksm_scan(3)
expect mapcount(page(A, p)) == 8
A: madvise(p, 4p, MADV_DONTNEED)
expect mapcount(page(A, p+4p)) == 4
A: madvise(p, 8p, MADV_UNMERGEABLE)
expect mapcount(page(A, p+4p)) == 1 && page(A, p+4p) != page(A, p+5p) && page(A, p) == NULL
A: munmap(p, 8p)

# prctl, prctl_fork, prctl_unmerge: set, read, inherited by the child, where merging works; clearing un-merges.
A: prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) = 0
A: prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) = 0
A: prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) = 1
A: F = fork()
F: prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) = 1
F: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
F: store(p, 207, 4p)
ksmd: ksm_scan(3)
expect mapcount(page(F, p)) == 4
F: prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0) = 0
expect mapcount(page(F, p)) == 1 && page(F, p) != page(F, p+1p)
F: exit(0)
A: prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0) = 0
A: prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) = 0

# unmerge_zero_pages: what is all zeros becomes the zero page, if that is wanted; half is un-merged, half is written.
ksmd: ksm_set("use_zero_pages", 1) = 0
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 0, 8p)
A: madvise(p, 8p, MADV_MERGEABLE)
expect rss(A) == 8
ksmd: ksm_scan(3)
expect vma(A, p).mm.ksm_zero_pages == 8 && vma(A, p).mm.rss_anon == 0
A: madvise(p, 4p, MADV_UNMERGEABLE)
expect vma(A, p).mm.ksm_zero_pages == 4 && page(A, p) != page(A, p+1p)
A: store(p+4p, 1)
A: store(p+5p, 2)
A: store(p+6p, 3)
A: store(p+7p, 4)
expect vma(A, p).mm.ksm_zero_pages == 0 && page(A, p+4p) != page(A, p+7p) && byte(A, p) == 0 && rss(A) == 8
A: munmap(p, 8p)
ksmd: ksm_set("use_zero_pages", 0) = 0

# prot_none: what nobody may access is merged all the same. Half is written as a debugger does it (ptrace; here a
# device with FOLL_FORCE), half is un-merged.
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 17, 4p)
A: mprotect(p, 4p, PROT_NONE) = 0
A: madvise(p, 4p, MADV_MERGEABLE)
ksmd: ksm_scan(3)
expect mapcount(page(A, p)) == 4
kernel: pin(A, p, FOLL_WRITE|FOLL_FORCE) = 1
kernel: device_store(A, p, 1)
kernel: unpin(A, p)
kernel: pin(A, p+1p, FOLL_WRITE|FOLL_FORCE) = 1
kernel: device_store(A, p+1p, 2)
kernel: unpin(A, p+1p)
expect mapcount(page(A, p+2p)) == 2 && byte(A, p) == 1 && byte(A, p+1p) == 2 && byte(A, p+2p) == 17
A: madvise(p+2p, 2p, MADV_UNMERGEABLE) = 0
expect mapcount(page(A, p+2p)) == 1 && mapcount(page(A, p+3p)) == 1
expect page(A, p) != page(A, p+1p) && page(A, p+2p) != page(A, p+3p) && rss(A) == 4
A: munmap(p, 4p)

# prctl_fork_exec: a process that wants KSM everywhere runs another program, in which it works.
A: G = fork()
G: prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) = 0
G: execve("/proc/self/exe")
G: prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) = 1
G: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
G: store(p, 207, 4p)
ksmd: ksm_scan(3)
expect mapcount(page(G, p)) == 4
G: exit(0)

# Written to run, 2 un-merges everything everywhere, as the tests do when they end.
A: p = mmap(NULL, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 207, 3p)
A: madvise(p, 3p, MADV_MERGEABLE)
ksmd: ksm_scan(3)
expect mapcount(page(A, p)) == 3
ksmd: ksm_set("run", 2) = 0
expect mapcount(page(A, p)) == 1 && page(A, p) != page(A, p+1p) && page(A, p+1p) != page(A, p+2p)
expect len(live("ksm_rmap_item")) == 0
