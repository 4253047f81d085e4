title    Selftest mremap: across several VMAs
about    The cases of tools/testing/selftests/mm/mremap_test.c about merging, shrinking and, since 6.17, moving
about    more than one VMA at once. A move keeps the holes; what the destination has in them stays.
kernels  v6.18
config   memory=16M

# Expand merge: the hole between two parts is filled by growing the first, and one VMA is left.
A: p = mmap(NULL, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+1p, 1p)
A: mremap(p, 1p, 2p, 0) = p
expect vmas(A) == 1 && vma(A, p).start == p && vma(A, p).end == p+3p
A: munmap(p, 3p)

# Expand merge offset: what grows is not the start of its VMA, but its end.
A: p = mmap(NULL, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+2p, 1p)
A: mremap(p+1p, 1p, 2p, 0) = p+1p
expect vmas(A) == 1 && vma(A, p).start == p && vma(A, p).end == p+3p
A: munmap(p, 3p)

# Shrink multiple VMAs, in place: one page is left of five VMAs and the holes between them.
A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+1p, 1p)
A: munmap(p+3p, 1p)
A: munmap(p+5p, 1p)
A: munmap(p+7p, 1p)
A: munmap(p+9p, 1p)
expect vmas(A) == 5
A: mremap(p, 10p, 1p, 0) = p
expect vmas(A) == 1 && vma(A, p).end == p+1p
A: munmap(p, 10p)

# Shrink multiple VMAs to another place: one that shrinks may cross VMAs, also when it moves.
A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+1p, 1p)
A: munmap(p+3p, 1p)
A: munmap(p+5p, 1p)
A: munmap(p+7p, 1p)
A: munmap(p+9p, 1p)
A: mremap(p, 10p, 1p, MREMAP_MAYMOVE|MREMAP_FIXED, p+100p) = p+100p
expect vmas(A) == 1 && vma(A, p+100p).start == p+100p && vma(A, p+100p).end == p+101p
A: munmap(p+100p, 1p)

# Move multiple VMAs: five of them, of which one has three pages.
A: p = mmap(NULL, 11p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+1p, 1p)
A: munmap(p+3p, 1p)
A: munmap(p+7p, 1p)
A: munmap(p+9p, 1p)
A: store(p, 1)
A: store(p+2p, 2)
A: store(p+4p, 3)
A: store(p+5p, 4)
A: store(p+6p, 5)
A: store(p+8p, 6)
A: store(p+10p, 7)
A: t = mremap(p, 11p, 11p, MREMAP_MAYMOVE|MREMAP_FIXED, p+100p)
expect t == p+100p
expect byte(A, t) == 1 && byte(A, t+2p) == 2 && byte(A, t+4p) == 3 && byte(A, t+5p) == 4 && byte(A, t+6p) == 5 && byte(A, t+8p) == 6 && byte(A, t+10p) == 7
expect vma(A, t+1p) == NULL && vma(A, t+7p) == NULL
expect vma(A, p) == NULL && vma(A, p+10p) == NULL && vmas(A) == 5
# Next to itself.
A: mremap(t, 11p, 11p, MREMAP_MAYMOVE|MREMAP_FIXED, t+11p) = t+11p
expect byte(A, t+11p) == 1 && byte(A, t+13p) == 2 && byte(A, t+15p) == 3 && byte(A, t+16p) == 4 && byte(A, t+17p) == 5 && byte(A, t+19p) == 6 && byte(A, t+21p) == 7
# Over a mapping, which stays where the holes are.
A: mmap(t, 11p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(t+11p, 11p, 11p, MREMAP_MAYMOVE|MREMAP_FIXED, t) = t
expect byte(A, t) == 1 && byte(A, t+2p) == 2 && byte(A, t+4p) == 3 && byte(A, t+5p) == 4 && byte(A, t+6p) == 5 && byte(A, t+8p) == 6 && byte(A, t+10p) == 7
expect vma(A, t+1p).start == t+1p && vma(A, t+1p).end == t+2p && !(vma(A, t+1p).flags & 3)
A: munmap(t, 22p)
A: munmap(p, 11p)
expect vmas(A) == 0 && rss(A) == 0

# Move multiple VMAs, and leave the sources: five of them, of which one has three pages.
A: p = mmap(NULL, 11p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+1p, 1p)
A: munmap(p+3p, 1p)
A: munmap(p+7p, 1p)
A: munmap(p+9p, 1p)
A: store(p, 1)
A: store(p+2p, 2)
A: store(p+4p, 3)
A: store(p+5p, 4)
A: store(p+6p, 5)
A: store(p+8p, 6)
A: store(p+10p, 7)
A: t = mremap(p, 11p, 11p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, p+100p)
expect t == p+100p
expect byte(A, t) == 1 && byte(A, t+2p) == 2 && byte(A, t+4p) == 3 && byte(A, t+5p) == 4 && byte(A, t+6p) == 5 && byte(A, t+8p) == 6 && byte(A, t+10p) == 7
expect vma(A, t+1p) == NULL && vma(A, t+7p) == NULL
expect vma(A, p+4p).end == p+7p && page(A, p+4p) == NULL && vmas(A) == 10
# Next to itself.
A: mremap(t, 11p, 11p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, t+11p) = t+11p
expect byte(A, t+11p) == 1 && byte(A, t+13p) == 2 && byte(A, t+15p) == 3 && byte(A, t+16p) == 4 && byte(A, t+17p) == 5 && byte(A, t+19p) == 6 && byte(A, t+21p) == 7
# Over a mapping, which stays where the holes are.
A: mmap(t, 11p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(t+11p, 11p, 11p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, t) = t
expect byte(A, t) == 1 && byte(A, t+2p) == 2 && byte(A, t+4p) == 3 && byte(A, t+5p) == 4 && byte(A, t+6p) == 5 && byte(A, t+8p) == 6 && byte(A, t+10p) == 7
expect vma(A, t+1p).start == t+1p && vma(A, t+1p).end == t+2p && !(vma(A, t+1p).flags & 3)
A: munmap(t, 22p)
A: munmap(p, 11p)
expect vmas(A) == 0 && rss(A) == 0

# Move multiple VMAs split: the range begins and ends inside a VMA.
A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+5p, 1p)
A: store(p, 1)
A: store(p+1p, 2)
A: store(p+2p, 3)
A: store(p+3p, 4)
A: store(p+4p, 5)
A: store(p+6p, 7)
A: store(p+7p, 8)
A: store(p+8p, 9)
A: store(p+9p, 10)
A: t = mremap(p+2p, 7p, 7p, MREMAP_MAYMOVE|MREMAP_FIXED, p+100p)
expect vma(A, t).start == t && vma(A, t).end == t+3p && vma(A, t+4p).start == t+4p && vma(A, t+4p).end == t+7p
expect byte(A, t) == 3 && byte(A, t+1p) == 4 && byte(A, t+2p) == 5 && byte(A, t+4p) == 7 && byte(A, t+5p) == 8 && byte(A, t+6p) == 9
expect byte(A, p+1p) == 2 && byte(A, p+9p) == 10
expect vma(A, p).end == p+2p && vma(A, p+9p).start == p+9p && vma(A, p+2p) == NULL
A: munmap(t, 7p)
A: munmap(p, 10p)
expect vmas(A) == 0

# Move multiple VMAs split, and leave the sources: the range begins and ends inside a VMA.
A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: munmap(p+5p, 1p)
A: store(p, 1)
A: store(p+1p, 2)
A: store(p+2p, 3)
A: store(p+3p, 4)
A: store(p+4p, 5)
A: store(p+6p, 7)
A: store(p+7p, 8)
A: store(p+8p, 9)
A: store(p+9p, 10)
A: t = mremap(p+2p, 7p, 7p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, p+100p)
expect vma(A, t).start == t && vma(A, t).end == t+3p && vma(A, t+4p).start == t+4p && vma(A, t+4p).end == t+7p
expect byte(A, t) == 3 && byte(A, t+1p) == 4 && byte(A, t+2p) == 5 && byte(A, t+4p) == 7 && byte(A, t+5p) == 8 && byte(A, t+6p) == 9
expect byte(A, p+1p) == 2 && byte(A, p+9p) == 10
expect vma(A, p).end == p+5p && page(A, p+2p) == NULL && page(A, p+8p) == NULL
A: munmap(t, 7p)
A: munmap(p, 10p)
expect vmas(A) == 0
