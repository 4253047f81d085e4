title    A private file mapping is in two structures
about    2004: the pages of a private file mapping are the file's until somebody writes: then the copy is anonymous. One
about    VMA, two kinds of page: it is on the list of the file and under an anon_vma, and each walk goes its own way.
kernels  v2.6.34 v2.6.7 v2.6.33 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18
config   memory=16M

A: fd = open("lib", O_RDWR|O_CREAT, 0644)
A: ftruncate(fd, 4p)
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE, fd, 0)
A: load(p)
A: load(p+1p)
A: B = fork()
B: load(p)
B: store(p+1p, 5)

# Page 0 is the page cache's, page 1 of B a copy of B's own.
expect page(A, p) == page(B, p)
expect page(A, p+1p) != page(B, p+1p)
kernel: referenced(A, p)
expect walk_cost(A, p).ptes == 2
kernel: referenced(B, p+1p)
expect walk_cost(B, p+1p).ptes == 1
expect walk_cost(B, p+1p).visited == 1
expect anon_vma(A, p) == NULL
expect anon_vma(B, p) != NULL
