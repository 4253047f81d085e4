title    How a hierarchy grows, and three ways to bound it
about    2012 to 2014: every fork copies the chain of its parent and adds one link, so a chain of N living generations has
about    (N+1)(N+2)/2 of them. Bounded by a length limit, by reuse (only when parents exit), or by hanging every VMA on
about    the root: fewer links, and a walk for one process's page meets more relatives.
kernels  v2.6.34 v2.6.33 v2.6.36 v3.0 v3.7 v3.18 v3.7-limit v3.19 v5.19 v6.1 v6.18 root-only
config   memory=16M
param    N=10

P0: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
P0: store(p, 1)
repeat i = 1..N {
  P{i-1}: P{i} = fork()
  P{i}: store(p, i)
}
expect v2.6.34 v2.6.36 v3.0 v3.7 v3.18 v3.19 v5.19 v6.1 v6.18: live("anon_vma_chain") == (N + 1) * (N + 2) / 2
expect v3.7-limit: live("anon_vma_chain") == 51
expect root-only: live("anon_vma_chain") == N + 1

# The page of the last generation: nobody else can have it, and what the bound costs to know that.
kernel: referenced(P{N}, p)
expect v2.6.34 v2.6.36 v3.0 v3.7 v3.18 v3.19 v5.19 v6.1 v6.18: walk_cost(P{N}, p).visited == 1
expect v3.7-limit: walk_cost(P{N}, p).visited == N - 4
expect v2.6.33 root-only: walk_cost(P{N}, p).visited == N + 1

# The first page of all: every generation may have it, and the walk that puts it back after migration has no
# count to stop at.
kcompactd: migrate(P0, p)
expect cost("visits_max") == N + 1
