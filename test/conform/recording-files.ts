/** The recordings that come with rmapdbg. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parseRecording, type Recording } from '../../src/conform/program.ts';

const directory = path.join(import.meta.dirname, 'recordings');
const ending = '.jsonl.gz';

export const recordingNames: readonly string[] = readdirSync(directory)
  .filter((file) => file.endsWith(ending))
  .map((file) => file.slice(0, -ending.length))
  .sort();

export function recordingPath(name: string): string {
  return path.join(directory, name + ending);
}

export function openRecording(name: string): Recording {
  return parseRecording(gunzipSync(readFileSync(recordingPath(name))).toString('utf8'));
}
