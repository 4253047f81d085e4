/** Reading recordings that the user names: files, gzipped or not, and folders of them. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { RecordingError } from '../conform/json.ts';
import { parseRecording, type Recording } from '../conform/program.ts';
import { UsageError } from './files.ts';

const RECORDING = /\.jsonl(\.gz)?$/;
/** Expanded text of a recording; a longer one is no recording. */
const MAX_BYTES = 256 * 1024 * 1024;
const GZIP_MAGIC = 0x1f8b;

function reasonOf(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'permission denied';
  return error instanceof Error ? error.message : String(error);
}

/** The files that the words of a command line name: a folder stands for the recordings in it. */
export function recordingFiles(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    let isFolder: boolean;
    try {
      isFolder = statSync(word).isDirectory();
    } catch (error) {
      throw new UsageError(`${word}: ${reasonOf(error)}`);
    }
    if (!isFolder) return [word];
    const inside = readdirSync(word).filter((name) => RECORDING.test(name));
    if (inside.length === 0)
      throw new UsageError(`${word}: no recording (*.jsonl, *.jsonl.gz) in it`);
    return inside.sort().map((name) => path.join(word, name));
  });
}

/** Reads a recording or a bare program. Throws UsageError for what is neither. */
export function readRecording(file: string): Recording {
  try {
    const bytes = readFileSync(file);
    const isGzip = bytes.length > 1 && bytes.readUInt16BE(0) === GZIP_MAGIC;
    const text = isGzip ? gunzipSync(bytes, { maxOutputLength: MAX_BYTES }) : bytes;
    return parseRecording(text.toString('utf8'));
  } catch (error) {
    const hint = error instanceof RecordingError ? '' : '; expected a recording (JSON lines)';
    throw new UsageError(`${file}: ${reasonOf(error)}${hint}`);
  }
}
