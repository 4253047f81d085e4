title    Tour 2: a reverse-map walk, visit by visit
about    One page is shared by a parent and three children. The kernel asks who maps it.
about    Type :break rmap:walk_visit and press c: each stop is one VMA the walk looks at. C goes back.
kernels  v6.18 v2.6.34 v2.6.36 v3.6 v5.19
config   memory=16M

# The page knows its anon_vma; that holds the VMAs in an interval tree, ordered by page offset.
A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 4p)
A: B = fork()
A: C = fork()
A: D = fork()
expect mapcount(page(A, p)) == 4
expect len(anon_vma(page(A, p)).vmas) == 4

# One child has its own copy by now. Its VMA stays in the parent's tree, since it may still map other
# pages of the parent: the walk will visit it in vain.
C: store(p, 5)
expect mapcount(page(A, p)) == 3
expect len(anon_vma(page(A, p)).vmas) == 4

# Reclaim's question: was the page used lately? Each entry that maps it has its own accessed bit, so
# the answer takes one visit per VMA in the tree (folio_referenced). Pane 8 counts what it costs.
kernel: referenced(A, p)
print walk_cost(A, p)
expect walk_cost(A, p).visited == 4
expect walk_cost(A, p).hits == 3
expect walk_cost(A, p).wasted == 1

# The copy is in the child's own anon_vma, where nobody else is: one visit.
kernel: referenced(C, p)
expect walk_cost(C, p).visited == 1
