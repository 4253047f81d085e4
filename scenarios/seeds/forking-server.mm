title    The forking server
about    2010: a server with N children, each with pages of its own. With one anon_vma for the family a page of any child is
about    looked for among N + 1 VMAs, half of them in the mean: N children with M pages cost N * M * (N + 3) / 2 visits for
about    one look at each, and all of them behind one lock. This is what the chains were made for.
kernels  v2.6.34 v2.4.0 v2.6.0 v2.6.6-anonmm v2.6.7 v2.6.33 v2.6.34-mel v2.6.36 v3.0 v3.6 v3.7 v3.18 v3.19 v5.19 v6.1 v6.18 root-only
config   memory=64M
param    N=6 M=3

A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 8p)
repeat i = 1..N {
  A: C{i} = fork()
  repeat j = 1..M {
    C{i}: store(p + j * 1p, i)
  }
}
repeat i = 1..N {
  repeat j = 1..M {
    kswapd: referenced(C{i}, p + j * 1p)
  }
}
expect cost("ptes") == N * M
expect v2.6.33 root-only: cost("visits_total") == N * M * (N + 3) / 2
expect v2.6.34 v2.6.34-mel v2.6.36 v3.0 v3.6 v3.7 v3.18 v3.19 v5.19 v6.1 v6.18: cost("visits_total") == N * M
