title    Two anon_vmas do not merge
about    2004: a VMA can be under one anon_vma only, so two neighbours that were written to apart stay apart for ever,
about    although they look alike. pte_chain and anonmm keep nothing in the VMA and join them. With chains a VMA can
about    have many anon_vmas, and still the rule stays: a page does not say whose piece it came from.
kernels  v2.6.34 v2.6.0 v2.6.6-anonmm v2.6.7 v2.6.33 v2.6.36 v3.0 v3.7 v3.19 v5.19 v6.1 v6.18
config   memory=16M

A: p = mmap(0x100000000000, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: q = mmap(0x100000002000, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(p, 1)
A: store(q, 2)
expect vmas(A) == 2

# The hole between them is filled: it joins the one before it, and then fits nowhere else.
A: mmap(p+1p, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
expect v2.6.0 v2.6.6-anonmm: vmas(A) == 1
expect v2.6.7 v2.6.33 v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v5.19 v6.1 v6.18: vmas(A) == 2
