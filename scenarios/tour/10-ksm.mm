title    Tour 10: equal pages become one: KSM
about    ksmd looks for pages with the same content, maps one of them for all, and remembers who had it. Then the
about    reverse map is a list of items, not an anon_vma alone. :break rmap_walk_ksm, then look at pane 5 and at info page.
kernels  v6.18
config   memory=16M

# Two programs without any relation. In both, a page with the same content; in the first one twice.
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 7, 2p)
A: store(p+2p, 9)
A: B = fork()
B: execve("/bin/other")
B: q = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
B: store(q, 7, 1p)
expect anon_vma(A, p).root != anon_vma(B, q).root

# Nothing is merged that nobody asked for. MADV_MERGEABLE puts the address space on the list of ksmd.
A: madvise(p, 4p, MADV_MERGEABLE)
B: madvise(q, 4p, MADV_MERGEABLE)

# The first pass makes an item for each address and takes a checksum: pages that change are not worth it.
ksmd: ksm_scan(1)
expect page(A, p) != page(A, p+1p)
expect len(live("ksm_rmap_item")) == 4

# The second pass finds them unchanged. The first page goes into the unstable tree; the next one with the same content
# meets it there: one becomes the KSM page, write-protected and in the stable tree, the other is freed.
# What comes later finds it in the stable tree.
ksmd: ksm_scan(1)
expect page(A, p) == page(A, p+1p) && page(B, q) == page(A, p)
expect page(A, p).ksm && mapcount(page(A, p)) == 3
expect len(live("ksm_stable_node")) == 1
expect page(A, p+2p).anon && !page(A, p+2p).ksm

# A page of two families, at different offsets: no anon_vma could lead to all of its mappings. Its mapping field
# points to the stable node, whose items say which address of which anon_vma to look for.
expect mappings(page(A, p)) == 3
A: C = fork()
expect mapcount(page(A, p)) == 5

# Migration walks the items, each with its anon_vma's tree: the child that ksmd never saw is found by its parent's.
A: settle()
kernel: migrate(A, p) = 0
expect page(C, p) == page(A, p) && page(C, p+1p) == page(A, p) && page(B, q) == page(A, p)
C: exit(0)

# Who writes gets a page of his own. The item stays, stale, until ksmd comes by.
A: store(p, 8)
expect page(A, p) != page(B, q) && mapcount(page(B, q)) == 2
expect byte(B, q) == 7
ksmd: ksm_scan(1)
expect mappings(page(B, q)) == 2

# The processes are gone, the items are not: they hold the anon_vma and the mm_struct until the next pass.
B: exit(0)
expect len(live("mm_struct")) == 2
ksmd: ksm_scan(1)
expect len(live("mm_struct")) == 1

# A page of zeros needs no page at all, if that is wanted.
ksmd: ksm_set("use_zero_pages", 1)
A: r = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(r, 0, 2p)
A: madvise(r, 2p, MADV_MERGEABLE)
expect vma(A, r).mm.rss_anon == 5
ksmd: ksm_scan(2)
expect vma(A, r).mm.rss_anon == 3

# And back: run = 2 takes everything apart.
ksmd: ksm_set("run", 2)
expect len(live("ksm_rmap_item")) == 0
expect len(findings()) == 0
