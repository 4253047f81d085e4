title    Which VMAs must be looked at: Tweedie against Miller
about    April 2000: with one object for a page and all its relatives by fork, a child's own page is looked for in every
about    VMA that was ever copied from the same one. Miller: only VMAs that can have it are scanned. Tweedie: the
about    list grows with every fork. Both are right about some kernel: it takes an object per process to
about    tell a child's page from its parent's, and that came ten years later.
kernels  v2.6.34 v2.4.0 v2.3.99-anon v2.6.0 v2.6.6-anonmm v2.6.7 v2.6.33 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18 root-only
config   memory=16M
param    N=8

A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
repeat i = 1..N {
  A: C{i} = fork()
  C{i}: store(p, i)
}

# The page that the last child wrote has one entry. How many VMAs are looked at for it? The walk stops
# when it has found as many entries as the page counts, so a relative that comes early is cheap.
kernel: referenced(C{N}, p)
expect walk_cost(C{N}, p).ptes == 1
expect v2.6.33 root-only: walk_cost(C{N}, p).visited == N + 1
expect v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18: walk_cost(C{N}, p).visited == 1
expect v2.6.0: walk_cost(C{N}, p).visited == 1

# The parent comes first everywhere.
kernel: referenced(A, p)
expect v2.6.33 v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18 root-only: walk_cost(A, p).visited == 1
