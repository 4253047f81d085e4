title    What mprotect parts it may join again
about    April 2004: programs that mprotect page by page cut a mapping into many VMAs. If each got an anon_vma of its
about    own they could never join again; so a VMA without one takes its neighbour's. anonmm has nothing in the
about    VMA and joins freely, but walks every process of the family.
kernels  v2.6.34 v2.6.0 v2.6.6-anonmm v2.6.7 v2.6.33 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18
config   memory=16M
param    N=4

A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)

# Cut before anything is written; then each piece is written to by itself.
repeat i = 0..3 {
  A: mprotect(p + i * 2p, 1p, PROT_READ|PROT_WRITE|PROT_EXEC)
}
expect vmas(A) == 8
repeat i = 0..7 {
  A: store(p + i * 1p, 7)
}
repeat i = 0..3 {
  A: mprotect(p + i * 2p, 1p, PROT_READ|PROT_WRITE)
}
expect vmas(A) == 1
expect v2.6.33 v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18: live("anon_vma") == 1

# What the freedom of anonmm costs: a page of one child is looked for in all of them.
repeat i = 1..N {
  A: C{i} = fork()
  C{i}: store(p+1p, i)
}
kernel: referenced(C{N}, p+1p)
expect v2.6.33: walk_cost(C{N}, p+1p).visited == N + 1
expect v2.6.34 v2.6.36 v3.0 v3.7 v3.19 v6.1 v6.18: walk_cost(C{N}, p+1p).visited == 1

# A page that the parent and the last child still share, with all other children in between.
repeat i = 1..N-1 {
  C{i}: store(p+2p, i)
}
kernel: referenced(A, p+2p)
print walk_cost(A, p+2p)
expect walk_cost(A, p+2p).ptes == 2
