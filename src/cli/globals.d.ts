/** Replaced by the build with the version in package.json. */
declare const VERSION: string;
