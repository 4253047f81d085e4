title    Selftest mremap: sizes and alignments
about    The table of tools/testing/selftests/mm/mremap_test.c: regions of 8 KiB to 2 GiB move between places that
about    are aligned to a page, 1 MiB, a PTE table (2 MiB) or a PMD table (1 GiB), and no more. Where both ends
about    allow it, whole tables move instead of entries: :break move_normal_pmd, :break move_normal_pud
kernels  v6.18
config   memory=64M

# Expected failures: over itself; to and from an address that is not a page's.
A: p = mmap(0x10001000, 1p, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: mremap(p, 1p, 1p, MREMAP_MAYMOVE|MREMAP_FIXED, p) = -1 EINVAL
A: mremap(p, 1p, 1p, MREMAP_MAYMOVE|MREMAP_FIXED, p+1p+1K) = -1 EINVAL
A: mremap(p+1K, 1p, 1p, MREMAP_MAYMOVE|MREMAP_FIXED, p+2p) = -1 EINVAL
expect vma(A, p).start == p && vma(A, p).end == p+1p
A: munmap(p, 1p)

# 8 KiB between pages
A: s = mmap(0x10001000, 8K, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+4K, 2)
A: d = mremap(s, 8K, 8K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10005000)
expect d == 0x10005000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+4K) == 2
A: munmap(d, 8K)

# 2 MiB, from 1 MiB alignment to a page
A: s = mmap(0x10100000, 2M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+1020K, 2)
A: store(s+1M, 3)
A: store(s+2044K, 4)
A: d = mremap(s, 2M, 2M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10301000)
expect d == 0x10301000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+1020K) == 2 && byte(A, d+1M) == 3 && byte(A, d+2044K) == 4
A: munmap(d, 2M)

# 2 MiB, both at 1 MiB
A: s = mmap(0x10100000, 2M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+1020K, 2)
A: store(s+1M, 3)
A: store(s+2044K, 4)
A: d = mremap(s, 2M, 2M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10500000)
expect d == 0x10500000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+1020K) == 2 && byte(A, d+1M) == 3 && byte(A, d+2044K) == 4
A: munmap(d, 2M)

# 4 MiB, from 2 MiB to a page
A: s = mmap(0x10200000, 4M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+2044K, 2)
A: store(s+2M, 3)
A: store(s+4092K, 4)
A: d = mremap(s, 4M, 4M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10601000)
expect d == 0x10601000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+2044K) == 2 && byte(A, d+2M) == 3 && byte(A, d+4092K) == 4
A: munmap(d, 4M)

# 4 MiB, from 2 MiB to 1 MiB
A: s = mmap(0x10200000, 4M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+2044K, 2)
A: store(s+2M, 3)
A: store(s+4092K, 4)
A: d = mremap(s, 4M, 4M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10700000)
expect d == 0x10700000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+2044K) == 2 && byte(A, d+2M) == 3 && byte(A, d+4092K) == 4
A: munmap(d, 4M)

# 4 MiB, both at 2 MiB: two PTE tables move
A: s = mmap(0x10200000, 4M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+2044K, 2)
A: store(s+2M, 3)
A: store(s+4092K, 4)
A: d = mremap(s, 4M, 4M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10a00000)
expect d == 0x10a00000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+2044K) == 2 && byte(A, d+2M) == 3 && byte(A, d+4092K) == 4
A: munmap(d, 4M)

# 2 GiB, from 1 GiB to a page
A: s = mmap(0x40000000, 2G, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+4092K, 2)
A: store(s+1G, 3)
A: store(s+2097148K, 4)
A: d = mremap(s, 2G, 2G, MREMAP_MAYMOVE|MREMAP_FIXED, 0xc0001000)
expect d == 0xc0001000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+4092K) == 2 && byte(A, d+1G) == 3 && byte(A, d+2097148K) == 4
A: munmap(d, 2G)

# 2 GiB, from 1 GiB to 1 MiB
A: s = mmap(0x40000000, 2G, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+4092K, 2)
A: store(s+1G, 3)
A: store(s+2097148K, 4)
A: d = mremap(s, 2G, 2G, MREMAP_MAYMOVE|MREMAP_FIXED, 0xc0100000)
expect d == 0xc0100000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+4092K) == 2 && byte(A, d+1G) == 3 && byte(A, d+2097148K) == 4
A: munmap(d, 2G)

# 2 GiB, from 1 GiB to 2 MiB
A: s = mmap(0x40000000, 2G, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+4092K, 2)
A: store(s+1G, 3)
A: store(s+2097148K, 4)
A: d = mremap(s, 2G, 2G, MREMAP_MAYMOVE|MREMAP_FIXED, 0xc0200000)
expect d == 0xc0200000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+4092K) == 2 && byte(A, d+1G) == 3 && byte(A, d+2097148K) == 4
A: munmap(d, 2G)

# 2 GiB, from 1 GiB to 1 GiB: two PMD tables move
A: s = mmap(0x40000000, 2G, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+4092K, 2)
A: store(s+1G, 3)
A: store(s+2097148K, 4)
A: d = mremap(s, 2G, 2G, MREMAP_MAYMOVE|MREMAP_FIXED, 0x140000000)
expect d == 0x140000000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+4092K) == 2 && byte(A, d+1G) == 3 && byte(A, d+2097148K) == 4
A: munmap(d, 2G)

# 5 MiB, both at 1 MiB: what is in the middle moves as tables
A: s = mmap(0x10100000, 5M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+1020K, 2)
A: store(s+1M, 3)
A: store(s+3M, 4)
A: store(s+5116K, 5)
A: d = mremap(s, 5M, 5M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10700000)
expect d == 0x10700000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+1020K) == 2 && byte(A, d+1M) == 3 && byte(A, d+3M) == 4 && byte(A, d+5116K) == 5
A: munmap(d, 5M)

# 5 MiB, and 40 MiB that lie in front of the destination stay as they are
A: s = mmap(0x10100000, 5M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1)
A: store(s+1020K, 2)
A: store(s+1M, 3)
A: store(s+3M, 4)
A: store(s+5116K, 5)
A: b = mmap(0x11100000, 40M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(b, 101)
A: store(b+39M, 102)
A: store(b+40956K, 103)
A: d = mremap(s, 5M, 5M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x13900000)
expect d == 0x13900000 && vma(A, s) == NULL
expect byte(A, d) == 1 && byte(A, d+1020K) == 2 && byte(A, d+1M) == 3 && byte(A, d+3M) == 4 && byte(A, d+5116K) == 5
expect byte(A, b) == 101 && byte(A, b+39M) == 102 && byte(A, b+40956K) == 103
A: munmap(b, 40M)
A: munmap(d, 5M)

# Move within range: one half of a PTE table moves into the half below it. The kernel would like to begin at
# the start of the table (try_realign_addr), which would take what stays with it: it must not.
A: p = mmap(0x20000000, 20M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(p+4M, 1, 64K)
A: store(p+6M, 2, 1M)
A: store(p+7M, 3, 1M)
A: mremap(p+7M, 1M, 1M, MREMAP_MAYMOVE|MREMAP_FIXED, p+5M)
expect byte(A, p+4M) == 1 && byte(A, p+4M+60K) == 1
expect byte(A, p+6M) == 2 && byte(A, p+6M+512K) == 2 && byte(A, p+7M-1p) == 2
expect byte(A, p+5M) == 3 && byte(A, p+6M-1p) == 3
expect vma(A, p+7M) == NULL && rss(A) == 16 + 512
A: munmap(p, 20M)

# Move 1 MiB from the start: below the destination there is no mapping to align to.
A: s = mmap(0x30140000, 6M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: d = mmap(0x31140000, 6M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: store(s, 1, 1M)
A: store(s+1M, 2, 1M)
A: munmap(d, 1M)
A: mremap(s+1M, 1M, 1M, MREMAP_MAYMOVE|MREMAP_FIXED, d+1M)
expect byte(A, s) == 1 && byte(A, s+512K) == 1 && byte(A, s+1M-1p) == 1
expect byte(A, d+1M) == 2 && byte(A, d+2M-1p) == 2
expect vma(A, s+1M) == NULL && vma(A, d+1M-1p) == NULL
