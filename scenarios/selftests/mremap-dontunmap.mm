title    Selftest mremap: MREMAP_DONTUNMAP
about    The cases of tools/testing/selftests/mm/mremap_dontunmap.c. The page-table entries go to the new place,
about    the old mapping stays: private memory reads as zeros there; shared memory is found again in its file.
kernels  v6.18
config   memory=16M

# It works on a mapping of any protection.
A: p = mmap(NULL, 1p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: q = mremap(p, 1p, 1p, MREMAP_DONTUNMAP|MREMAP_MAYMOVE, 0)
expect vma(A, p) != NULL && vma(A, q) != NULL && q != p
A: munmap(q, 1p)
A: munmap(p, 1p)

# simple
A: p = mmap(NULL, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 97, 5p)
A: q = mremap(p, 5p, 5p, MREMAP_DONTUNMAP|MREMAP_MAYMOVE, 0)
expect page(A, p) == NULL && anon_vma(A, p) == NULL
expect page(A, q).index == vma(A, q).vm_pgoff
A: load(q) = 97
A: load(q+4p) = 97
A: load(p) = 0
A: load(p+4p) = 0
A: munmap(q, 5p)
A: munmap(p, 5p)

# simple_shmem
A: fd = memfd_create("memfd", MFD_CLOEXEC)
A: ftruncate(fd, 5p)
A: p = mmap(NULL, 5p, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)
A: close(fd)
A: store(p, 97, 5p)
A: q = mremap(p, 5p, 5p, MREMAP_DONTUNMAP|MREMAP_MAYMOVE, 0)
A: load(q) = 97
A: load(q+4p) = 97
A: load(p) = 97
A: load(p+4p) = 97
expect page(A, p) == page(A, q) && mapcount(page(A, p)) == 2
A: munmap(q, 5p)
A: munmap(p, 5p)

# simple_fixed: over a mapping, whose pages are gone then.
A: d = mmap(NULL, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(d, 88, 5p)
A: p = mmap(NULL, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 97, 5p)
A: mremap(p, 5p, 5p, MREMAP_DONTUNMAP|MREMAP_MAYMOVE|MREMAP_FIXED, d) = d
A: load(d) = 97
A: load(d+4p) = 97
A: load(p) = 0
A: load(p+4p) = 0
A: munmap(d, 5p)
A: munmap(p, 5p)

# partial_mapping: the second half moves, the first half keeps its pages.
A: p = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 97, 10p)
A: q = mremap(p+5p, 5p, 5p, MREMAP_DONTUNMAP|MREMAP_MAYMOVE, 0)
expect vma(A, p).start == p && vma(A, p).end == p+10p
A: load(p) = 97
A: load(p+4p) = 97
A: load(p+5p) = 0
A: load(p+9p) = 0
A: load(q) = 97
A: load(q+4p) = 97
A: munmap(q, 5p)
A: munmap(p, 10p)

# partial_mapping_overwrite: over the first half of a mapping, whose second half is not touched.
A: p = mmap(NULL, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 97, 5p)
A: d = mmap(NULL, 10p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(d, 88, 10p)
A: mremap(p, 5p, 5p, MREMAP_DONTUNMAP|MREMAP_MAYMOVE|MREMAP_FIXED, d) = d
A: load(p) = 0
A: load(p+4p) = 0
A: load(d) = 97
A: load(d+4p) = 97
A: load(d+5p) = 88
A: load(d+9p) = 88
