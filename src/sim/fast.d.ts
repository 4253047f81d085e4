/** The synchronous build of a kernel file (steps/plugin.ts): same exports, generators erased. Cast it. */
declare module '*?fast';
