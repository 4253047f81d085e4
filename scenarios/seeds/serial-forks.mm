title    A daemon that forks and exits, over and over
about    2014: each generation forks the next and exits. With chains alone the anon_vma of every ancestor stays, for its
about    pages might: memory grows without end. A limit on the length of a chain stops it (at a number); reuse of an anon_vma
about    that only one child hangs on stops it at three; everything in the root's tree never begins it.
kernels  v2.6.34 v2.6.33 v2.6.36 v3.0 v3.7 v3.18 v3.7-limit v3.19 v5.19 v6.1 v6.18 root-only
config   memory=16M
param    N=30

D0: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
D0: store(p, 1)
repeat i = 1..N {
  D{i-1}: D{i} = fork()
  D{i}: store(p, i)
  D{i-1}: exit(0)
}
expect v2.6.34 v2.6.36 v3.0 v3.7 v3.18: live("anon_vma_chain") == N + 1
expect v3.7-limit: live("anon_vma_chain") == 6
expect v3.19 v5.19 v6.1 v6.18: live("anon_vma_chain") == 3
expect root-only: live("anon_vma_chain") == 1
expect v2.6.33: live("anon_vma") == 1

# The chain is as long as what is alive.
expect v2.6.34 v3.18: len(avcs(D{N}, p)) == N + 1
expect v3.19 v6.18: len(avcs(D{N}, p)) == 3

# And what the page of the last of them costs to find.
kernel: referenced(D{N}, p)
expect walk_cost(D{N}, p).visited == 1
