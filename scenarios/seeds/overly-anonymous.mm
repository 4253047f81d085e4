title    The overly anonymous anon_vma
about    April 2010: a page comes back from swap. The child maps it first, so it is put under the child's anon_vma; then the
about    parent maps it too, whose VMA knows nothing of that anon_vma. The page has two entries and a walk finds one.
about    The page belongs under the oldest anon_vma, which all who may share it know (anchor_oldest).
kernels  v2.6.34 v2.6.34-rc3 v2.6.33 v2.6.34-mel v2.6.36 v3.0 v3.7 v3.18 v3.19 v6.1 v6.18
config   memory=16M swap=16M
verdict  v2.6.34-rc3: rmap-unreachable
verdict  v2.6.34 v2.6.33 v2.6.34-mel v2.6.36 v3.0 v3.7 v3.18 v3.19 v6.1 v6.18: none

A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
kernel: settle()
kernel: settle()
kswapd: reclaim(A, p)
kswapd: reclaim(A, p)
kswapd: reclaim(A, p)
expect !pte(A, p).present
B: load(p)
A: load(p)
expect mapcount(page(A, p)) == 2
