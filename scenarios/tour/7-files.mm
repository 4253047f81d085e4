title    Tour 7: files have a reverse map of their own
about    A page of a file belongs to the file, and the file knows its VMAs: the i_mmap tree. A private copy
about    of it is anonymous. The page then has two families. :break rmap:walk_visit and look at pane 8.
kernels  v6.18 v2.6.34 v2.6.36 v3.6 v5.19
config   memory=16M

# One file, mapped twice in one process: shared from its beginning, and privately from page 1 on.
A: fd = open("/tmp/data", O_RDWR|O_CREAT, 0644)
A: ftruncate(fd, 4p)
A: s = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0)
A: m = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE, fd, 1p)

# For a file, index and vm_pgoff are offsets in the file. There is no anon_vma, and none is needed: the
# page says which file (page.mapping), and the file's tree of VMAs is asked for the offset.
A: store(s+1p, 7)
A: load(m) = 7
expect page(A, m) == page(A, s+1p)
expect page(A, m).index == 1 && vma(A, m).vm_pgoff == 1 && vma(A, s).vm_pgoff == 0
expect mapcount(page(A, m)) == 2
expect anon_vma(A, m) == NULL

# fork links the child's VMAs into the same tree. It does not copy the page-table entries of a file
# mapping that has no private pages: the child's accesses will find the page in the page cache.
A: B = fork()
expect page(B, m) == NULL
expect mapcount(page(A, m)) == 2
B: load(s+1p) = 7
B: load(m) = 7
expect mapcount(page(A, m)) == 4
kernel: referenced(A, m)
expect walk_cost(A, m).hits == 4

# The child writes to the private mapping: do_cow_fault() or, as here, do_wp_page(). Its copy is anonymous,
# and so the VMA gets an anon_vma now. It stays in the file's tree, too: two families, one VMA.
B: store(m, 9)
expect avcs(B, m) == 1
expect anon_vma(page(B, m)) == anon_vma(B, m)
expect mapcount(page(A, m)) == 3
kernel: referenced(B, m)
expect walk_cost(B, m).visited == 1

# What the file gets, every other mapping sees; the copy does not.
A: store(s+1p, 8)
expect byte(A, m) == 8 && byte(B, s+1p) == 8
expect byte(B, m) == 9

# The file becomes shorter. unmap_mapping_range() walks the file's tree and takes what lies beyond the end
# out of every page table; also the private copy, as there is no file any more to have copied it from.
A: ftruncate(fd, 1p)
expect page(A, m) == NULL && page(B, s+1p) == NULL
expect page(B, m) == NULL
B: load(m) = SIGBUS
