title    Selftest rmap: a page moves, and eight processes follow
about    tools/testing/selftests/mm/rmap.c: a page is shared by a tree of processes, five generations deep; it is
about    moved to another frame, and every one of them must map that frame then.
about    Watch the walks: :break rmap:walk_visit
kernels  v6.18
config   memory=16M

A: a = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(a, 207, 1p)
A: sfd = memfd_create("kst_rmap_shm", 0)
A: ftruncate(sfd, 1p)
A: m = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_SHARED, sfd, 0)
A: store(m, 207, 1p)
A: ffd = open("/tmp/kst_rmap_file", O_RDWR|O_CREAT, 0666)
A: ftruncate(ffd, 1p)
A: f = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_SHARED, ffd, 0)
A: store(f, 207, 1p)
A: B = fork()
A: C = fork()
B: D = fork()
B: E = fork()
D: F = fork()
F: G = fork()
C: H = fork()

# Everybody reads all three: the file's entries are not copied by fork.
A: load(a) = 207
B: load(a) = 207
C: load(a) = 207
D: load(a) = 207
E: load(a) = 207
F: load(a) = 207
G: load(a) = 207
H: load(a) = 207
A: load(m) = 207
B: load(m) = 207
C: load(m) = 207
D: load(m) = 207
E: load(m) = 207
F: load(m) = 207
G: load(m) = 207
H: load(m) = 207
A: load(f) = 207
B: load(f) = 207
C: load(f) = 207
D: load(f) = 207
E: load(f) = 207
F: load(f) = 207
G: load(f) = 207
H: load(f) = 207

# anon: the chain of each process leads to the anon_vma of the first.
A: settle()
expect page(B, a) == page(A, a) && page(C, a) == page(A, a) && page(D, a) == page(A, a) && page(E, a) == page(A, a) && page(F, a) == page(A, a) && page(G, a) == page(A, a) && page(H, a) == page(A, a)
expect mappings(page(A, a)) == 8 && mapcount(page(A, a)) == 8
E: migrate(E, a) = 0
expect page(B, a) == page(A, a) && page(C, a) == page(A, a) && page(D, a) == page(A, a) && page(E, a) == page(A, a) && page(F, a) == page(A, a) && page(G, a) == page(A, a) && page(H, a) == page(A, a)
expect mappings(page(A, a)) == 8 && mapcount(page(A, a)) == 8
kernel: referenced(G, a)
expect walk_cost(A, a).hits == 8

# shm and file: the inode knows every mapping.
G: migrate(G, m) = 0
expect page(B, m) == page(A, m) && page(C, m) == page(A, m) && page(D, m) == page(A, m) && page(E, m) == page(A, m) && page(F, m) == page(A, m) && page(G, m) == page(A, m) && page(H, m) == page(A, m)
expect mappings(page(A, m)) == 8 && mapcount(page(A, m)) == 8
H: migrate(H, f) = 0
expect page(B, f) == page(A, f) && page(C, f) == page(A, f) && page(D, f) == page(A, f) && page(E, f) == page(A, f) && page(F, f) == page(A, f) && page(G, f) == page(A, f) && page(H, f) == page(A, f)
expect mappings(page(A, f)) == 8 && mapcount(page(A, f)) == 8

# The contents came along, and nobody got a copy of his own.
expect byte(A, a) == 207 && byte(A, m) == 207 && byte(A, f) == 207
expect byte(B, a) == 207 && byte(B, m) == 207 && byte(B, f) == 207
expect byte(C, a) == 207 && byte(C, m) == 207 && byte(C, f) == 207
expect byte(D, a) == 207 && byte(D, m) == 207 && byte(D, f) == 207
expect byte(E, a) == 207 && byte(E, m) == 207 && byte(E, f) == 207
expect byte(F, a) == 207 && byte(F, m) == 207 && byte(F, f) == 207
expect byte(G, a) == 207 && byte(G, m) == 207 && byte(G, f) == 207
expect byte(H, a) == 207 && byte(H, m) == 207 && byte(H, f) == 207
C: store(m, 5)
expect byte(A, m) == 5 && byte(B, m) == 5 && byte(C, m) == 5 && byte(D, m) == 5 && byte(E, m) == 5 && byte(F, m) == 5 && byte(G, m) == 5 && byte(H, m) == 5
