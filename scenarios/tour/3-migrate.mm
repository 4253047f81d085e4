title    Tour 3: a page moves, and everybody follows
about    Migration replaces each mapping by a migration entry, copies the page, and puts the new one in.
about    Both passes are reverse-map walks. watch what the page tables hold in between.
kernels  v6.18
config   memory=16M

A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 42)
A: B = fork()
A: C = fork()
expect mapcount(page(A, p)) == 3

kcompactd: migrate(A, p)
expect mapcount(page(A, p)) == 3
expect page(A, p) == page(B, p)
expect page(A, p) == page(C, p)
expect byte(C, p) == 42
