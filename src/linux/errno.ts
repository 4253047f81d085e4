/**
 * include/uapi/asm-generic/errno-base.h, errno.h: the error numbers that the simulated kernel returns,
 * negated, as C does. Fidelity: dup (the subset that memory management and processes use).
 */
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ETXTBSY = 26;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const ERANGE = 34;
export const EDEADLK = 35;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ELOOP = 40;
export const EOVERFLOW = 75;
export const EOPNOTSUPP = 95;
export const ESTALE = 116;
export const EHWPOISON = 133;
/** Kernel-internal: the system call is to be started again. */
export const ERESTARTSYS = 512;
export const ERESTARTNOINTR = 513;

/** include/linux/err.h: IS_ERR_VALUE(). Addresses of user space are never in this range. */
export function IS_ERR_VALUE(value: number): boolean {
  return value < 0 && value >= -4095;
}
