title    An anon_vma reused twice
about    2022 (CVE-2022-42703): reuse takes over an anon_vma when its count says that one child is left. The count has VMAs and
about    child anon_vmas in one number, so one that was left can be taken over by two VMAs with different chains. They look
about    mergeable, and the merged VMA has the chain of one of them: a page is lost to all walks. Two counts settle it.
kernels  v6.18 v2.6.34 v3.0 v3.7-limit v3.18 v3.19 v5.19 v6.1 root-only
config   memory=16M
verdict  v3.19 v5.19: anon-vma-merge rmap-unreachable
verdict  v6.18 v2.6.34 v3.0 v3.7-limit v3.18 v6.1 root-only: none

A: p = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1)
A: B = fork()
B: C = fork()
B: exit(0)
C: D = fork()
D: mprotect(p+1p, 1p, PROT_READ|PROT_WRITE|PROT_EXEC)
C: exit(0)
D: E = fork()
D: F = fork()
E: exit(0)
F: store(p+1p, 2)
F: G = fork()

# Two VMAs of G: the same anon_vma, but is it the same chain? Made alike, they merge.
G: mprotect(p+1p, 1p, PROT_READ|PROT_WRITE)
expect v3.19 v5.19: vmas(G) == 1
expect v3.18 v6.1 v6.18: vmas(G) == 2
