/** Exit codes of every command (docs: README). */
export const EXIT_OK = 0;
/** A finding, a failed expectation or verdict, a difference. */
export const EXIT_FOUND = 1;
/** Bad usage or bad input. */
export const EXIT_USAGE = 2;
/** Stopped by a bound before the search was complete. */
export const EXIT_BOUND = 3;
/** A fault of rmapdbg itself. */
export const EXIT_INTERNAL = 70;
