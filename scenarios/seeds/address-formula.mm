title    The address formula survives mremap
about    April 2000: a page that knows only its object and an index has to say where it is mapped. Is
about    vm_start + (index - vm_pgoff) still right after mremap has moved the mapping? It is: mremap gives the new
about    VMA the page offset of the old one, so neither the page nor its index has to change.
kernels  v2.6.34 v2.3.99-anon v2.6.0 v2.6.6-anonmm v2.6.7 v2.6.33 v2.6.36 v3.0 v3.6 v3.7 v3.18 v3.19 v5.19 v6.1 v6.18
config   memory=16M

A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 4p)
A: B = fork()
A: q = mremap(p, 4p, 4p, MREMAP_MAYMOVE|MREMAP_FIXED, 0x200000000000)

# The last page is still one page of two processes, at two addresses, and one walk finds both.
kernel: referenced(B, p+3p)
expect walk_cost(B, p+3p).ptes == mappings(page(B, p+3p))
expect byte(A, q+3p) == 1

# The page offset came along. pte_chain needs none: each page lists its entries, and mremap moved
# them one by one. anonmm has it from the page: moving a page that is shared means to copy it.
expect v2.6.33 v2.6.34 v3.0 v3.7 v6.18: vma(A, q).vm_pgoff == p / 1p
expect v2.6.33 v2.6.34 v3.0 v3.7 v6.18: mapcount(page(A, q+3p)) == 2
expect v2.6.0: mapcount(page(A, q+3p)) == 2
expect v2.6.6-anonmm: mapcount(page(A, q+3p)) == 1
