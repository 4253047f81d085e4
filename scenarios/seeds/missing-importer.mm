title    A VMA that takes over pages and not their anon_vma
about    June 2004: mprotect moves the boundary between two VMAs. The upper one was never written to and has no
about    anon_vma; now it holds pages that point to the lower one's. In 2.6.7 no walk finds them, and when the lower VMA
about    goes, the anon_vma is freed under them. 2.6.8 links the VMA that takes over (links_importer); from 3.0 on the two do not
about    merge at all.
kernels  v2.6.33 v2.6.7 v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18
config   memory=16M
verdict  v2.6.7: anon-page-without-anon-vma rmap-unreachable
verdict  v2.6.33 v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18: none

A: p = mmap(NULL, 16p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: mprotect(p+8p, 8p, PROT_READ)
A: store(p, 1, 8p)
A: mprotect(p+4p, 4p, PROT_READ)
expect v2.6.33 v2.6.7 v2.6.34 v2.6.36: vmas(A) == 2
expect mapcount(page(A, p+5p)) == 1
