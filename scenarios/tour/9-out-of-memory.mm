title    Tour 9: more than there is: reclaim, swap, and the OOM killer
about    A process stores to more memory than the machine has. First the page cache goes, then memory nobody
about    used lately goes to swap, then the process with the most memory is killed. :break oom:oom_kill_process
kernels  v6.18
config   memory=64M swap=4M

# The parent: some memory of its own, and sixteen megabytes of a file, read once.
A: p = mmap(NULL, 500p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 42, 500p)
A: fd = open("/var/data", O_RDONLY)
A: f = mmap(NULL, 4096p, PROT_READ, MAP_SHARED, fd, 0)
A: load(f, 4096p)
expect rss(A) == 4596
A: B = fork()

# The child needs three quarters of the machine. At the low watermark kswapd would be woken; here nobody
# runs it, so the child reclaims in its own page faults: clean pages of the file are simply dropped.
B: q = mmap(NULL, 20000p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0)
B: store(q, 1, 12500p)
expect rss(A) < 4596
expect rss(B) >= 12500
expect len(live("mm_struct")) == 2

# kswapd frees what is missing to the high watermark. Each round scans twice the share of the last one.
kswapd: kswapd(12)

# Now more than memory and swap together. When reclaim gets nowhere, oom_badness() counts the pages of
# each process: the child has the most. Its store never returns.
B: store(q, 2, 20000p)
expect len(live("mm_struct")) == 1

# The parent finds its memory as it was, be it in memory or in swap.
A: load(p) = 42
A: load(p+499p) = 42
expect len(findings()) == 0
