/** include/linux/sched.h, sched/signal.h, uapi/linux/sched.h v6.18: constants of tasks. */

/** task_struct.flags. */
export const PF_EXITING = 0x4;
export const PF_FORKNOEXEC = 0x40;
export const PF_KTHREAD = 0x200000;

/** task_struct.exit_state. */
export const EXIT_DEAD = 0x10;
export const EXIT_ZOMBIE = 0x20;

/** signal_struct.flags. */
export const SIGNAL_GROUP_EXIT = 0x4;

export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_PIDFD = 0x1000;
export const CLONE_VFORK = 0x4000;
export const CLONE_PARENT = 0x8000;
export const CLONE_THREAD = 0x10000;
export const CLONE_NEWNS = 0x20000;
export const CLONE_PARENT_SETTID = 0x100000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;

export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGCHLD = 17;
