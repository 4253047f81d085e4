title    Migration with N forks: the root's list, or the page's own
about    May 2010: the walk that puts a page back after migration must see every VMA, and VMAs change under it. One
about    patch begins at the root of the family and locks each anon_vma inside, which makes it visit all
about    relatives, as before the chains; the other locks the root and walks the page's own list.
kernels  v2.6.34 v2.6.33 v2.6.34-mel v2.6.36 v3.0 v3.6 v3.7 v3.18 v3.19 v6.1 v6.18
config   memory=16M
param    N=4

A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
repeat i = 1..N {
  A: C{i} = fork()
  C{i}: store(p, i)
}

# A page that child 1 alone has. Two walks: entries out, entries back.
kcompactd: migrate(C1, p)
expect byte(C1, p) == 1
expect v2.6.33 v2.6.34-mel: cost("visits_max") == N + 1
expect v2.6.34 v2.6.36 v3.0 v3.6 v3.7 v3.18 v3.19 v6.1 v6.18: cost("visits_max") == 1
