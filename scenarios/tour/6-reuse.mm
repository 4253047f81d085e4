title    Tour 6: parents exit, children fork, and the forest does not grow
about    Each fork links the child to all anon_vmas of its ancestors. A daemon that forks itself and exits,
about    again and again, would collect one a generation. Since v3.19 fork takes over an abandoned one.
kernels  v6.18
config   memory=16M

A: p = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)

# Three generations: one anon_vma each, and a chain that is one link longer each time (pane 4).
A: B = fork()
B: C = fork()
expect live("anon_vma") == 3
expect avcs(A, p) == 1 && avcs(B, p) == 2 && avcs(C, p) == 3

# The one in the middle exits. Its anon_vma must stay: C is linked to it, as C may map pages of B. But
# no VMA calls it its own any more: num_active_vmas is 0.
B: exit_group(0)
kernel: settle()
expect live("anon_vma") == 3

# C forks. anon_vma_clone() copies C's links to D and comes by the abandoned anon_vma: no active VMA and
# no more than one child. D takes it as its own, instead of a fourth.
# Try :break rmap:anon_vma_reuse and c.
C: D = fork()
expect live("anon_vma") == 3
expect avcs(D, p) == 3
expect anon_vma(D, p) != anon_vma(C, p)
expect anon_vma(D, p).num_active_vmas == 1
expect anon_vma(D, p).root == anon_vma(C, p).root

# A generation later the same: C's is taken over. Without this the chain would have four links now.
C: exit_group(0)
kernel: settle()
D: E = fork()
expect live("anon_vma") == 3
expect avcs(E, p) == 3

# The price: D's new pages and those that B left are in one tree, so walks may visit a VMA in vain.
expect byte(E, p) == 1
