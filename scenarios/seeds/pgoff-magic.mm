title    vm_pgoff of an anonymous mapping
about    2000 and 2004: an anonymous VMA has no file, yet vm_pgoff is set, and mremap carries it along, so that it is
about    no longer the address. It is what makes pages findable and neighbours joinable: after a move there and
about    back the pieces fit again, and at another place two pieces with other offsets never do.
kernels  v2.6.34 v2.6.7 v2.6.33 v2.6.36 v3.0 v3.6 v3.7 v3.19 v6.1 v6.18
config   memory=16M

A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 4p)
A: q = mremap(p+2p, 2p, 2p, MREMAP_MAYMOVE|MREMAP_FIXED, 0x200000000000)
expect vmas(A) == 2
expect vma(A, q).vm_pgoff == p / 1p + 2

# Back to where it was: one VMA again.
A: r = mremap(q, 2p, 2p, MREMAP_MAYMOVE|MREMAP_FIXED, p+2p)
expect vmas(A) == 1

# The last page in front of the first: neighbours, but the offsets do not go on.
A: mremap(p+3p, 1p, 1p, MREMAP_MAYMOVE|MREMAP_FIXED, p-1p)
expect vmas(A) == 2
kernel: referenced(A, p-1p)
expect walk_cost(A, p-1p).ptes == 1
