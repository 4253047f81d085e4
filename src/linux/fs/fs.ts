/** include/linux/fs.h, include/uapi/asm-generic/fcntl.h v6.18: constants of files. */

export const O_ACCMODE = 0o3;
export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_DIRECTORY = 0o200000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20200000;

export const MFD_CLOEXEC = 0x1;
export const MFD_ALLOW_SEALING = 0x2;
export const MFD_HUGETLB = 0x4;
export const MFD_NOEXEC_SEAL = 0x8;
export const MFD_EXEC = 0x10;

/**
 * More values of inode.i_kind (FS_DISK and the others that can be mapped are in mm/mm.ts). A device,
 * pipe or terminal that cannot be mapped: mmap() gives ENODEV.
 */
export const FS_NO_MMAP = 8;
export const FS_DIRECTORY = 9;
